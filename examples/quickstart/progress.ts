/**
 * A progress bar on a terminal; nothing where the output is none.
 */

const width = 40

/** Draws how many of `total` records are done. */
export interface Progress {
  readonly add: (count: number) => void
  /** Everything is done, whatever was told. */
  readonly end: () => void
}

/** Makes a progress bar. */
export const makeProgress = (total: number): Progress => {
  const { stdout } = process
  if (!stdout.isTTY) return { add: () => {}, end: () => {} }
  let done = 0
  const draw = () => {
    const filled = Math.min(width, Math.round((done / total) * width))
    const bar = "█".repeat(filled) + "░".repeat(width - filled)
    stdout.write(`\r  ${bar} ${done}/${total} records`)
  }
  return {
    add: (count) => {
      done += count
      draw()
    },
    end: () => {
      done = total
      draw()
      stdout.write("\n")
    }
  }
}
