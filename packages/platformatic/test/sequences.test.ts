import { assert, describe, it } from "@effect/vitest"
import type { EncodedRecord, PartitionBatch } from "@kafka-once/core/KafkaDriver"
import * as Sequences from "../src/internal/sequences.ts"

const batchOf = (partition: number, count: number): PartitionBatch => ({
  topic: "topic",
  partition,
  records: Array.from({ length: count }, (): EncodedRecord => ({
    key: null,
    value: null,
    headers: [],
    timestamp: 0n
  }))
})

const encode = (sequence: number): Buffer => Buffer.from(String(sequence))

const taken = (sequences: Sequences.Sequences, batch: PartitionBatch): Sequences.Pending => {
  const pending = sequences.take(batch, encode)
  assert(pending !== null)
  return pending
}

describe("sequences", () => {
  it("each partition counts its own records", () => {
    const sequences = Sequences.make()
    for (const [partition, count, expected] of [[0, 3, 0], [1, 2, 0], [0, 1, 3], [1, 1, 2]]) {
      const batch = batchOf(partition ?? 0, count ?? 0)
      const pending = taken(sequences, batch)
      assert.strictEqual(pending.sequence, expected)
      sequences.appended(batch, pending)
    }
  })

  it("a repetition is the same bytes under the same sequence, also in a list of its own", () => {
    const sequences = Sequences.make()
    const batch = batchOf(0, 2)
    const first = taken(sequences, batch)
    first.unclear = true
    const again = sequences.take({ ...batch, records: [...batch.records] }, () => Buffer.alloc(0))
    assert.strictEqual(again, first)
  })

  it("nothing takes the sequence of a batch that may have been appended", () => {
    const sequences = Sequences.make()
    taken(sequences, batchOf(0, 1)).unclear = true
    assert.isNull(sequences.take(batchOf(0, 1), encode))
    assert.isFalse(sequences.areClear())
    assert.strictEqual(taken(sequences, batchOf(1, 1)).sequence, 0)
    sequences.reset()
    assert.isTrue(sequences.areClear())
  })

  it("the sequence of a batch that was refused is given to the next", () => {
    const sequences = Sequences.make()
    const before = batchOf(0, 5)
    sequences.appended(before, taken(sequences, before))
    taken(sequences, batchOf(0, 3))
    assert.isTrue(sequences.areClear())
    assert.strictEqual(taken(sequences, batchOf(0, 1)).sequence, 5)
  })

  it("after 2^31 - 1 comes 0", () => {
    const sequences = Sequences.make()
    const batch = batchOf(0, 2)
    const pending = taken(sequences, batch)
    sequences.appended(batch, { ...pending, sequence: 2 ** 31 - 1 })
    assert.strictEqual(taken(sequences, batchOf(0, 1)).sequence, 1)
  })

  it("a leader that is none any more may have appended, a broker that refuses has not", () => {
    for (const code of [3, 5, 6, 7, 13, 19, 20, 45, 56, -1, 999]) {
      assert.isFalse(Sequences.isNotAppended(code), String(code))
    }
    for (const code of [10, 29, 47, 53, 87, 90]) {
      assert.isTrue(Sequences.isNotAppended(code), String(code))
    }
  })
})
