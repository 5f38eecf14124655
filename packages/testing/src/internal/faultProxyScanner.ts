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

const isState = (decision: string): decision is Exclude<Decision, "more"> =>
  decision === "pass" || decision === "swallow" || decision === "collect" || decision === "opaque"

export const make = (options: {
  /** The least size that a frame can have. */
  readonly leastBytes: number
  /** Sees the content of a frame as far as it is there; `size` is how long it will be. */
  readonly decide: (head: Buffer, size: number) => Decision
  readonly onBytes: (bytes: Buffer, midFrame: boolean) => void
  /** A collected frame, its four bytes of size among it. */
  readonly onFrame: (frame: Buffer) => void
}): Scanner => {
  let state: "head" | "pass" | "swallow" | "collect" | "opaque" = "head"
  let kept: Buffer | null = null
  let parts: Array<Buffer> = []
  let leftBytes = 0

  const begin = (bytes: Buffer, at: number): string | Decision => {
    const available = bytes.length - at
    if (available < 4) return "more"
    const size = bytes.readInt32BE(at)
    if (size < options.leastBytes || size > frameBytesMax) return `a frame of ${size} bytes`
    const end = Math.min(bytes.length, at + 4 + size)
    const decision = options.decide(bytes.subarray(at + 4, end), size)
    if (decision === "more") {
      return end === at + 4 + size || available > headBytesMax
        ? "a frame whose header does not end"
        : decision
    }
    leftBytes = size + 4
    return decision
  }

  const push = (chunk: Buffer): string | null => {
    const bytes = kept === null ? chunk : Buffer.concat([kept, chunk])
    kept = null
    let at = 0
    let runStart = -1
    const endRun = (end: number, midFrame: boolean): void => {
      if (runStart >= 0) options.onBytes(bytes.subarray(runStart, end), midFrame)
      runStart = -1
    }
    while (at < bytes.length) {
      if (state === "opaque") {
        endRun(at, false)
        options.onBytes(bytes.subarray(at), true)
        return null
      }
      if (state === "head") {
        const decision = begin(bytes, at)
        if (decision === "more") {
          endRun(at, false)
          kept = bytes.subarray(at)
          return null
        }
        if (!isState(decision)) {
          endRun(at, false)
          return decision
        }
        state = decision
        if (decision === "opaque") continue
        if (decision !== "pass") endRun(at, false)
        else if (runStart < 0) runStart = at
      } else if (state === "pass" && runStart < 0) {
        runStart = at
      }
      const count = Math.min(leftBytes, bytes.length - at)
      if (state === "collect") parts.push(bytes.subarray(at, at + count))
      at += count
      leftBytes -= count
      if (leftBytes > 0) break
      const wasCollected = state === "collect"
      state = "head"
      if (!wasCollected) continue
      const frame = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
      parts = []
      options.onFrame(frame)
    }
    endRun(at, leftBytes > 0 && state === "pass")
    return null
  }

  return {
    push,
    becomeOpaque: () => {
      state = "opaque"
    }
  }
}
