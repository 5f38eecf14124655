/**
 * Follows the frames in one direction of a connection without copying those that nobody asks for.
 *
 * At the start of every frame the proxy decides: let it pass as it comes, swallow it, or collect it
 * whole. Frames that pass are handed on in the chunks in which they came, several frames together.
 */
import { frameBytesMax } from "./protocol/frameSplitter.ts"

/** `opaque`: this frame and everything after it pass without a look. */
export type Decision = "more" | "pass" | "swallow" | "collect" | "opaque"

export interface Scanner {
  /** Takes bytes as they come, and returns what is wrong with them, or null. */
  readonly push: (chunk: Buffer) => string | null
  /** From now on bytes are handed on without a look at them. */
  readonly becomeOpaque: () => void
}

/** A frame's start is looked at up to this length; every header is far below it. */
export const headBytesMax = 64 * 1024

const isDecision = (decision: string): decision is Exclude<Decision, "more"> =>
  decision === "pass" || decision === "swallow" || decision === "collect" || decision === "opaque"

interface Options {
  /** The least size that a frame can have. */
  readonly leastBytes: number
  /** Sees the content of a frame as far as it is there; `size` is how long it will be. */
  readonly decide: (head: Buffer, size: number) => Decision
  readonly onBytes: (bytes: Buffer, midFrame: boolean) => void
  /** A collected frame, its four bytes of size among it. */
  readonly onFrame: (frame: Buffer) => void
}

interface State extends Options {
  /** What is done to the frame at hand; `head` while its start is awaited. */
  mode: "head" | Exclude<Decision, "more">
  kept: Buffer | null
  parts: Array<Buffer>
  leftBytes: number
}

export const make = (options: Options): Scanner => {
  const state: State = { ...options, mode: "head", kept: null, parts: [], leftBytes: 0 }
  return {
    push: (chunk) => push(state, chunk),
    becomeOpaque: () => {
      for (const part of state.parts) state.onBytes(part, true)
      state.parts = []
      state.mode = "opaque"
    }
  }
}

const push = (state: State, chunk: Buffer): string | null => {
  const bytes = state.kept === null ? chunk : Buffer.concat([state.kept, chunk])
  state.kept = null
  let at = 0
  // Where the bytes begin that pass and have not been handed on.
  let start = 0
  const handOn = (end: number, midFrame: boolean): void => {
    if (end <= start) return
    const isWhole = start === 0 && end === bytes.length
    state.onBytes(isWhole ? bytes : bytes.subarray(start, end), midFrame)
  }
  while (at < bytes.length) {
    if (state.mode === "head") {
      const decision = begin(state, bytes, at)
      if (!isDecision(decision)) {
        handOn(at, false)
        if (decision !== "more") return decision
        state.kept = bytes.subarray(at)
        return null
      }
      state.mode = decision
      if (decision === "swallow" || decision === "collect") handOn(at, false)
    }
    if (state.mode === "opaque") break
    const isPassing = state.mode === "pass"
    at = advance(state, bytes, at)
    if (!isPassing) start = at
  }
  handOn(bytes.length, state.mode === "pass" || state.mode === "opaque")
  return null
}

/** Takes what there is of the frame at hand, and returns where the next bytes are. */
const advance = (state: State, bytes: Buffer, at: number): number => {
  const end = Math.min(at + state.leftBytes, bytes.length)
  const isCollected = state.mode === "collect"
  if (isCollected) state.parts.push(bytes.subarray(at, end))
  state.leftBytes -= end - at
  if (state.leftBytes > 0) return end
  state.mode = "head"
  if (!isCollected) return end
  const { parts } = state
  state.parts = []
  state.onFrame(parts.length === 1 ? parts[0]! : Buffer.concat(parts))
  return end
}

/** Decides about the frame that starts here; any other text is what is wrong with it. */
const begin = (state: State, bytes: Buffer, at: number): string | Decision => {
  const available = bytes.length - at
  if (available < 4) return "more"
  const size = bytes.readInt32BE(at)
  if (size < state.leastBytes || size > frameBytesMax) return `a frame of ${size} bytes`
  const end = Math.min(bytes.length, at + 4 + size)
  const decision = state.decide(bytes.subarray(at + 4, end), size)
  if (decision === "more" && (end === at + 4 + size || available > headBytesMax)) {
    return "a frame whose header does not end"
  }
  state.leftBytes = size + 4
  return decision
}
