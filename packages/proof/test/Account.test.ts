import { assert, it } from "@effect/vitest"
import * as Account from "../src/Account.ts"
import { Told } from "../src/Contender.ts"
import type * as PartitionLog from "../src/PartitionLog.ts"

const encoder = new TextEncoder()

type Batch = PartitionLog.PartitionLog["batches"][number]

/** A log of transactions of one record each; `null` leaves the last one open. */
const logOf = (
  ...rows: ReadonlyArray<readonly [value: string, control: "commit" | "abort" | null]>
): PartitionLog.PartitionLog => {
  const batches = rows.flatMap(([value, control], index) => {
    const base = BigInt(index * 2)
    const data = batch(base, { value: encoder.encode(value) })
    return control === null ? [data] : [data, { ...batch(base + 1n, null), control }]
  })
  const highWatermark = BigInt(batches.length)
  const open = rows.at(-1)?.[1] === null
  const lastStableOffset = open ? highWatermark - 1n : highWatermark
  return { topic: "t", partition: 0, startOffset: 0n, highWatermark, lastStableOffset, batches }
}

const batch = (baseOffset: bigint, record: { readonly value: Uint8Array } | null): Batch => ({
  baseOffset,
  lastOffset: baseOffset,
  partitionLeaderEpoch: 0,
  crc: 0,
  compression: "none",
  isTransactional: true,
  isControl: record === null,
  control: null,
  coordinatorEpoch: null,
  baseTimestamp: 0n,
  maxTimestamp: 0n,
  producerId: 1n,
  producerEpoch: 0,
  baseSequence: 0,
  recordCount: 1,
  records: record === null
    ? []
    : [{ offset: baseOffset, timestamp: 0n, key: null, headers: [], ...record }]
})

const sent = (...values: ReadonlyArray<string>) => values.map((value) => ({ value, offset: null }))

const why = "why"

it.each<[string, Account.Transaction, PartitionLog.PartitionLog, ReadonlyArray<string>]>([
  [
    "a committed record that is there",
    { mustCommit: true, sent: [{ value: "a", offset: 0n }], told: Told.Committed() },
    logOf(["a", "commit"]),
    []
  ],
  [
    "a committed record whose marker says abort",
    { mustCommit: true, sent: sent("a"), told: Told.Committed() },
    logOf(["a", "abort"]),
    [`"a" was committed and is lost: no reader sees it`]
  ],
  [
    "a record that is there twice",
    { mustCommit: true, sent: sent("a"), told: Told.Committed() },
    logOf(["a", "commit"], ["a", "commit"]),
    [`"a" was sent once and is visible 2 times`]
  ],
  [
    "an aborted record that is visible",
    { mustCommit: false, sent: sent("a"), told: Told.Aborted({ why }) },
    logOf(["a", "commit"]),
    [`"a" was aborted and is visible all the same`]
  ],
  [
    "an aborted record that is not",
    { mustCommit: false, sent: sent("a"), told: Told.Aborted({ why }) },
    logOf(["a", "abort"]),
    []
  ],
  [
    "a transaction of which a part is visible",
    { mustCommit: false, sent: sent("a", "b"), told: Told.Unknown({ why }) },
    logOf(["a", "commit"], ["b", "abort"]),
    ["of 2 records of one transaction 1 are visible"]
  ],
  [
    "an acknowledgement with the offset of another record",
    { mustCommit: true, sent: [{ value: "b", offset: 0n }], told: Told.Committed() },
    logOf(["a", "abort"], ["b", "commit"]),
    [`"b" was acknowledged at offset 0, where the aborted record "a" is`]
  ],
  [
    "a commit that is said to have failed",
    { mustCommit: true, sent: sent("a"), told: Told.Unknown({ why }) },
    logOf(["a", "commit"]),
    [`the commit of "a" failed with "why", and it is committed`]
  ],
  [
    "a commit of which nobody knows",
    { mustCommit: true, sent: sent("a"), told: Told.Unknown({ why }) },
    logOf(["a", null]),
    [`the commit of "a" failed with "why", and nobody says whether it is committed`]
  ],
  [
    "a transaction that is aborted for nothing",
    { mustCommit: true, sent: sent("a"), told: Told.Aborted({ why }) },
    logOf(["a", "abort"]),
    [`"a" could not be committed: "why"`]
  ],
  [
    "a producer that is stuck",
    { mustCommit: true, sent: [], told: Told.NotBegun({ why }) },
    logOf(),
    [`no transaction can be begun any more: "why"`]
  ]
])("%s is told as what it is", (_, transaction, log, expected) => {
  assert.deepStrictEqual(Account.anomalies([transaction], log), expected)
})
