import { assert, describe, it } from "@effect/vitest"
import * as ReadCommitted from "@kafka-once/core/ReadCommitted"
import * as Dice from "./support/Dice.ts"

interface Batch extends ReadCommitted.LogBatch {
  readonly baseOffset: bigint
  /** What became of it in the end, as the log's writer knows. */
  visible: boolean
}

const data = (
  baseOffset: bigint,
  producerId: bigint,
  options: { readonly isTransactional?: boolean; readonly count?: bigint } = {}
): Batch => ({
  baseOffset,
  lastOffset: baseOffset + (options.count ?? 1n) - 1n,
  producerId,
  isTransactional: options.isTransactional ?? true,
  control: null,
  visible: true
})

const marker = (offset: bigint, producerId: bigint, control: "commit" | "abort"): Batch => ({
  baseOffset: offset,
  lastOffset: offset,
  producerId,
  isTransactional: true,
  control,
  visible: false
})

const offsets = (batches: ReadonlyArray<Batch>) => batches.map(({ baseOffset }) => baseOffset)

interface Aborted extends ReadCommitted.AbortedTransaction {
  readonly markerOffset: bigint
}

/** A log with interleaved transactions, each of which has ended. */
const randomLog = (dice: Dice.Dice) => {
  const log: Array<Batch> = []
  const aborted: Array<Aborted> = []
  const open = new Map<bigint, Array<Batch>>()
  let offset = BigInt(dice.next(3))
  const producers = 1 + dice.next(4)
  const end = (producerId: bigint) => {
    const batches = open.get(producerId) ?? []
    open.delete(producerId)
    const control = dice.chance(50) ? "abort" as const : "commit" as const
    // A transaction that wrote nothing to this partition has an abort marker and no entry.
    if (control === "abort") {
      for (const batch of batches) batch.visible = false
      if (batches.length > 0) {
        aborted.push({ producerId, firstOffset: batches[0]!.baseOffset, markerOffset: offset })
      }
    }
    log.push(marker(offset++, producerId, control))
  }
  for (let step = dice.next(40); step > 0; step--) {
    const producerId = BigInt(dice.next(producers))
    const kind = dice.next(10)
    if (kind < 3) end(producerId)
    else if (kind === 3) log.push({ ...marker(offset++, -1n, "commit"), control: "other" })
    else {
      const isTransactional = kind > 4
      const batch = data(offset, producerId, { isTransactional, count: BigInt(1 + dice.next(3)) })
      log.push(batch)
      if (isTransactional) open.set(producerId, [...open.get(producerId) ?? [], batch])
      // Compaction leaves gaps.
      offset = batch.lastOffset + 1n + BigInt(dice.chance(20) ? dice.next(4) : 0)
    }
  }
  for (const producerId of open.keys()) end(producerId)
  return { log, aborted }
}

const shuffled = <A>(dice: Dice.Dice, from: ReadonlyArray<A>): ReadonlyArray<A> => {
  const left = [...from]
  return from.map(() => left.splice(dice.next(left.length), 1)[0]!)
}

describe("read_committed (rule 18)", () => {
  it("shows what no transaction wrote, and what a committed one did", () => {
    const log = [data(0n, -1n, { isTransactional: false }), data(1n, 7n), marker(2n, 7n, "commit")]
    assert.deepStrictEqual(offsets(ReadCommitted.filter(log, [])), [0n, 1n])
  })

  it("leaves out an aborted transaction whose marker is in a later fetch", () => {
    const log = [data(0n, 7n), data(1n, 8n), data(2n, 7n)]
    const aborted = [{ producerId: 7n, firstOffset: 0n }]
    assert.deepStrictEqual(offsets(ReadCommitted.filter(log, aborted)), [1n])
  })

  it("leaves out what was fetched of an aborted transaction that began before", () => {
    const log = [data(5n, 7n), marker(6n, 7n, "abort"), data(7n, 7n), marker(8n, 7n, "commit")]
    const aborted = [{ producerId: 7n, firstOffset: 0n }]
    assert.deepStrictEqual(offsets(ReadCommitted.filter(log, aborted)), [7n])
  })

  it("takes two aborted transactions of one producer that are in one fetch, in any order", () => {
    const log = [
      data(0n, 7n),
      marker(1n, 7n, "abort"),
      data(2n, 7n),
      marker(3n, 7n, "commit"),
      data(4n, 7n),
      marker(5n, 7n, "abort")
    ]
    const aborted = [{ producerId: 7n, firstOffset: 4n }, { producerId: 7n, firstOffset: 0n }]
    assert.deepStrictEqual(offsets(ReadCommitted.filter(log, aborted)), [2n])
    assert.deepStrictEqual(offsets(ReadCommitted.filter(log, aborted.toReversed())), [2n])
  })

  it("another producer's marker ends nothing, nor does a commit marker", () => {
    const log = [data(0n, 7n), marker(1n, 8n, "abort"), marker(2n, 7n, "commit"), data(3n, 7n)]
    assert.deepStrictEqual(
      offsets(ReadCommitted.filter(log, [{ producerId: 7n, firstOffset: 0n }])),
      []
    )
  })

  it("an aborted transaction that begins inside a batch's range counts from that batch on", () => {
    const log = [data(0n, 7n, { count: 5n }), marker(5n, 7n, "abort")]
    // After compaction a batch keeps its last offset, and its first records may be gone.
    assert.deepStrictEqual(
      offsets(ReadCommitted.filter(log, [{ producerId: 7n, firstOffset: 3n }])),
      []
    )
  })

  it("agrees with the writer, for every part of random logs (KAFKA_ONCE_SEED replays)", () => {
    let dropped = 0
    let shown = 0
    for (const seed of Dice.seeds(2_000)) {
      const dice = Dice.make(seed)
      const { aborted, log } = randomLog(dice)
      for (let part = 0; part < 4 && log.length > 0; part++) {
        const from = dice.next(log.length)
        const fetched = log.slice(from, from + 1 + dice.next(log.length))
        const first = fetched[0]!.baseOffset
        const last = fetched.at(-1)!.lastOffset
        // What a broker lists: what overlaps with the fetch, and sometimes what begins behind it.
        const listed = aborted.filter(({ firstOffset, markerOffset }) =>
          markerOffset >= first && (firstOffset <= last || dice.chance(30))
        )
        const expected = fetched.filter(({ visible }) => visible)
        const seen = ReadCommitted.filter(fetched, shuffled(dice, listed))
        assert.deepStrictEqual(offsets(seen), offsets(expected), `seed ${seed}`)
        dropped += fetched.length - expected.length
        shown += expected.length
      }
    }
    assert.isAbove(Math.min(dropped, shown), 0)
  })
})
