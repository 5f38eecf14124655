import { assert, describe, it } from "@effect/vitest"
import * as Frames from "../src/internal/frames.ts"

const frame = (correlationId: number, body: string) => {
  const bytes = Buffer.alloc(8 + body.length)
  bytes.writeInt32BE(4 + body.length, 0)
  bytes.writeInt32BE(correlationId, 4)
  bytes.write(body, 8)
  return bytes
}

const collect = (known: ReadonlySet<number>) => {
  const answers: Array<readonly [number, string | null]> = []
  const frames = Frames.make({
    wanted: (correlationId) => known.has(correlationId) ? correlationId % 2 === 1 : null,
    answered: (correlationId, body) =>
      answers.push([correlationId, body === null ? null : body.toString()])
  })
  return { answers, frames }
}

describe("frames", () => {
  it("another protocol is told at its first bytes", () => {
    for (const stranger of ["HTTP/1.1 400 Bad Request", "\u0015\u0003\u0003\u0000\u0002\u0002P"]) {
      assert.isFalse(collect(new Set([1])).frames.push(Buffer.from(stranger, "latin1")))
    }
    assert.isFalse(collect(new Set([1])).frames.push(frame(2, "an answer to nothing")))
  })

  it("answers are found wherever the stream is cut", () => {
    const stream = Buffer.concat([
      frame(1, "one"),
      frame(2, "not wanted"),
      frame(3, ""),
      frame(5, "five")
    ])
    for (let size = 1; size <= stream.length; size++) {
      const { answers, frames } = collect(new Set([1, 2, 3, 5]))
      for (let at = 0; at < stream.length; at += size) {
        assert.isTrue(frames.push(stream.subarray(at, at + size)))
      }
      assert.deepStrictEqual(answers, [[1, "one"], [2, null], [3, ""], [5, "five"]])
    }
  })
})
