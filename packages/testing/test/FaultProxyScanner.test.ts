import { assert, describe, it } from "@effect/vitest"
import { randomInt } from "node:crypto"
import * as Scanner from "../src/internal/faultProxyScanner.ts"
import { makeRandom, type NextInt } from "./protocolMessages.ts"

const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? randomInt(2 ** 31))

const decisions = ["pass", "swallow", "collect"] as const

/** A frame whose first byte is the decision about it, and whose second is a header to wait for. */
const makeFrame = (next: NextInt): Buffer => {
  const size = 4 + next([10, 100, 5000][next(3)]!)
  const frame = Buffer.alloc(4 + size, next(256))
  frame.writeInt32BE(size, 0)
  frame[4] = next(3)
  return frame
}

/** Cuts bytes as a socket would: anywhere, often in the middle of a size. */
const cut = function*(bytes: Buffer, next: NextInt): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + next([3, 50, 20_000][next(3)]!))
    yield bytes.subarray(at, end)
    at = end
  }
}

describe(`frames cut anywhere (seed ${seed})`, () => {
  it("pass, vanish and are collected whole, in their order", () => {
    const next = makeRandom(seed)
    const frames = Array.from({ length: 10_000 }, () => makeFrame(next))
    const kept = frames.filter((frame) => frame[4] !== 1)
    const output: Array<Buffer> = []
    let collected = 0
    let midFrame = false
    const scanner = Scanner.make({
      leastBytes: 4,
      decide: (head) => head.length < 3 ? "more" : decisions[head[0]!]!,
      onBytes: (bytes, isMidFrame) => {
        output.push(bytes)
        midFrame = isMidFrame
      },
      onFrame: (frame) => {
        assert.isFalse(midFrame, `a frame inside another, seed ${seed}`)
        collected += 1
        output.push(frame)
      }
    })
    for (const chunk of cut(Buffer.concat(frames), next)) {
      assert.strictEqual(scanner.push(chunk), null)
    }
    assert.isTrue(Buffer.concat(output).equals(Buffer.concat(kept)), `seed ${seed}`)
    assert.strictEqual(collected, frames.filter((frame) => frame[4] === 2).length)
    assert.isFalse(midFrame)
  })
})
