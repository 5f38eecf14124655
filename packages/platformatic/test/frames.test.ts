import { assert, describe, it } from "@effect/vitest"
import * as Frames from "../src/internal/frames.ts"

const frame = (size: number, bytes = size): Buffer => {
  const whole = Buffer.alloc(4 + bytes)
  whole.writeInt32BE(size, 0)
  return whole
}

describe("the sizes of frames", () => {
  it("are found wherever the stream is cut", () => {
    const stream = Buffer.concat([frame(4), frame(1_000), frame(8), frame(70_000)])
    for (const step of [1, 2, 3, 5, 7, 64, 1_001, stream.length]) {
      const isKafka = Frames.watch()
      for (let at = 0; at < stream.length; at += step) {
        assert.isTrue(isKafka(stream.subarray(at, at + step)), `${step} at ${at}`)
      }
      assert.isFalse(isKafka(frame(-1, 0)), `${step}`)
    }
  })

  it.each([
    ["HTTP", Buffer.from("HTTP/1.1 400 Bad Request\r\n")],
    ["a TLS alert", Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46])],
    ["a negative size", frame(-1, 0)],
    ["a size without a correlation id", frame(3)],
    ["a size of 2 GB", frame(2 ** 31 - 1, 0)]
  ])("%s is no frame of Kafka's", (_, bytes) => {
    assert.isFalse(Frames.watch()(bytes))
    const isKafka = Frames.watch()
    assert.isFalse([...bytes].every((byte) => isKafka(Buffer.from([byte]))))
  })
})
