import { assert, describe, it } from "@effect/vitest"
import * as Answer from "../src/internal/answer.ts"

const int16 = (value: number) => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const text = (value: string) => Buffer.concat([int16(value.length), Buffer.from(value)])
const topic = (name: string, ...partitions: ReadonlyArray<Buffer>) =>
  Buffer.concat([text(name), int32(partitions.length), ...partitions])
const partition = (index: number, code: number, trailing: number) =>
  Buffer.concat([int32(index), int16(code), Buffer.alloc(trailing)])

describe("answer", () => {
  it("an answer that is cut off anywhere is unreadable, never read as a success", () => {
    const produce = Buffer.concat([int32(1), topic("a", partition(0, 6, 24)), int32(0)])
    for (let bytes = 0; bytes < 4 + 3 + 4 + 6; bytes++) {
      assert.strictEqual(Answer.read(0, 7, produce.subarray(0, bytes))._tag, "Unreadable")
    }
    for (const [api, version] of [[10, 2], [22, 1], [24, 1], [25, 1], [26, 1], [28, 1]] as const) {
      assert.strictEqual(Answer.read(api, version, Buffer.alloc(3))._tag, "Unreadable")
    }
  })

  it.each([[3, 16], [7, 24]])(
    "a Produce of version %i tells each partition's code",
    (version, trailing) => {
      const body = Buffer.concat([
        int32(2),
        topic("a", partition(0, 0, trailing), partition(3, 10, trailing)),
        topic("b", partition(1, 6, trailing)),
        int32(0)
      ])
      const answer = Answer.read(0, version, body)
      assert(answer._tag === "Read")
      assert.deepStrictEqual(answer.partitions, [
        { topic: "a", partition: 0, code: 0 },
        { topic: "a", partition: 3, code: 10 },
        { topic: "b", partition: 1, code: 6 }
      ])
    }
  )

  it("codes that kafkajs does not know are read as they are (K8)", () => {
    const answer = Answer.read(26, 1, Buffer.concat([int32(0), int16(120)]))
    assert(answer._tag === "Read")
    assert.deepStrictEqual(answer.codes, [120])
  })

  it("InitProducerId tells the producer id and epoch", () => {
    const body = Buffer.concat([int32(0), int16(0), int32(1), int32(2), int16(7)])
    const answer = Answer.read(22, 1, body)
    assert(answer._tag === "Read")
    assert.deepStrictEqual(answer.producer, { producerId: 4_294_967_298n, epoch: 7 })
  })

  it("OPERATION_NOT_ATTEMPTED does not hide the code of another partition (K10)", () => {
    assert.strictEqual(Answer.firstFailure([55, 0, 29]), 29)
    assert.strictEqual(Answer.firstFailure([0, 55]), 55)
    assert.strictEqual(Answer.firstFailure([0, 0]), 0)
  })
})
