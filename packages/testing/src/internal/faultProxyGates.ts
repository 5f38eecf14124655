/** Named gates behind which frames are held until somebody releases them. */

export interface Gates {
  /** Keeps what is to be done when the gate opens. */
  readonly hold: (gate: string, deliver: () => void) => void
  /** Does all that is kept, and returns how much it was. */
  readonly release: (gate: string) => number
}

export const make = (): Gates => {
  const held = new Map<string, Array<() => void>>()
  return {
    hold: (gate, deliver) => {
      const waiting = held.get(gate)
      if (waiting === undefined) held.set(gate, [deliver])
      else waiting.push(deliver)
    },
    release: (gate) => {
      const waiting = held.get(gate) ?? []
      held.delete(gate)
      for (const deliver of waiting) deliver()
      return waiting.length
    }
  }
}
