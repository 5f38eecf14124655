import { assert, describe, it } from "@effect/vitest"
import { contradictions, type Written } from "../src/internal/toldAndVisible.ts"
import type { PartitionLog } from "../src/PartitionLog.ts"

/** A partition that shows these values, each written outside any transaction. */
const showing = (...values: ReadonlyArray<string>): PartitionLog => ({
  topic: "topic",
  partition: 0,
  startOffset: 0n,
  lastStableOffset: BigInt(values.length),
  highWatermark: BigInt(values.length),
  batches: values.map((value, index) => ({
    baseOffset: BigInt(index),
    lastOffset: BigInt(index),
    producerId: -1n,
    producerEpoch: -1,
    baseSequence: -1,
    isTransactional: false,
    control: null,
    partitionLeaderEpoch: 0,
    crc: 0,
    compression: "none",
    isControl: false,
    coordinatorEpoch: null,
    baseTimestamp: 0n,
    maxTimestamp: 0n,
    recordCount: 1,
    records: [{
      offset: BigInt(index),
      timestamp: 0n,
      key: null,
      value: new TextEncoder().encode(value),
      headers: []
    }]
  }))
})

const pair = (told: Written["told"]): Written => ({ values: ["a", "b"], told })

describe("what was told and what is visible", () => {
  it.each(
    [
      ["committed", ["a", "b"], []],
      ["aborted", [], []],
      ["untold", [], []],
      ["untold", ["a", "b"], []],
      ["committed", ["a"], ["committed, and lost"]],
      ["committed", [], ["committed, and lost"]],
      ["aborted", ["a"], ["aborted, and visible"]],
      ["aborted", ["a", "b"], ["aborted, and visible"]],
      ["untold", ["b"], ["torn"]],
      ["committed", ["a", "b", "b"], [`"b" is visible 2 times`]],
      ["committed", ["a", "b", "c"], [`"c" is visible, and nobody sent it`]]
    ] as const
  )("%s, and %j: %j", (told, values, expected) => {
    const found = contradictions([pair(told)], [showing(...values)])
    assert.strictEqual(found.length, expected.length, found.join("; "))
    expected.forEach((part, index) => assert.include(found[index], part))
  })
})
