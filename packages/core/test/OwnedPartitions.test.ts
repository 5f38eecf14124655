import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as OwnedPartitions from "../src/internal/group/ownedPartitions.ts"
import { membership, options, partition } from "./support/GroupOptions.ts"

describe("owned partitions", () => {
  const batch = (position: bigint, records: number): OwnedPartitions.Encoded => ({
    position,
    nextOffset: position + BigInt(records),
    count: records,
    bytes: 100,
    records: Effect.succeed(recordsFrom(position, records))
  })
  const recordsFrom = (position: bigint, records: number) =>
    Array.from({ length: records }, (_, index) => ({
      offset: position + BigInt(index),
      timestamp: 0n,
      key: null,
      value: new Uint8Array(3),
      headers: []
    }))
  const any = () => true
  const started = (...positions: ReadonlyArray<bigint>) => {
    const owned = OwnedPartitions.make(options)
    const partitions = positions.map((_, number) => partition(number))
    owned.adopt(membership, partitions)
    partitions.forEach((one, number) => owned.startAt(one, positions[number] ?? 0n))
    return owned
  }

  it("are fetched once they were sought, one request at a time", () => {
    const owned = OwnedPartitions.make(options)
    owned.adopt(membership, [partition(0)])
    assert.deepStrictEqual(owned.startFetch(any), [])
    owned.startAt(partition(0), 5n)
    const [wanted, ...others] = owned.startFetch(any)
    assert.deepStrictEqual([wanted?.offset, others], [5n, []])
    assert.deepStrictEqual(owned.startFetch(any), [])
  })

  it("are fetched ahead within the bounds, and each may hold one fetch", () => {
    const owned = started(0n, 0n)
    const wanted = owned.startFetch(any)
    assert.strictEqual(wanted.length, 2)
    owned.store(wanted[0]!, batch(0n, 10))
    owned.endFetch(wanted)
    // The first one has used up the records that may be kept; the second has nothing yet.
    assert.deepStrictEqual(owned.startFetch(any).map((one) => one.partition), [1])
  })

  it.effect("go on being fetched when what was fetched is taken", () =>
    Effect.gen(function*() {
      const owned = started(0n)
      const wanted = owned.startFetch(any)
      owned.store(wanted[0]!, batch(0n, 10))
      owned.endFetch(wanted)
      assert.deepStrictEqual(owned.startFetch(any), [])
      const waiting = yield* Effect.forkChild(owned.signal.until(() => {
        const found = owned.startFetch(any)
        return found.length === 0 ? undefined : found
      }))
      yield* Effect.yieldNow
      const taken = yield* owned.take(partition(0))
      assert.deepStrictEqual([taken.position, taken.membership], [0n, membership])
      const [next] = yield* Fiber.join(waiting)
      assert.strictEqual(next?.offset, 10n)
    }))

  it.effect("are decoded when they are taken, from the position on", () =>
    Effect.gen(function*() {
      const owned = started(7n)
      let decoded = 0
      const [wanted] = owned.startFetch(any)
      owned.store(wanted!, {
        ...batch(7n, 3),
        // A compressed batch is answered whole.
        records: Effect.sync(() => {
          decoded += 1
          return recordsFrom(5n, 5)
        })
      })
      assert.strictEqual(decoded, 0)
      const { bytes, records } = yield* owned.take(partition(0))
      assert.deepStrictEqual(records.map(({ offset }) => offset), [7n, 8n, 9n])
      assert.deepStrictEqual([decoded, bytes], [1, 9])
    }))

  it.effect("keep a batch whose taker is interrupted while it is decompressed", () =>
    Effect.gen(function*() {
      const owned = started(0n)
      const [wanted] = owned.startFetch(any)
      let attempts = 0
      owned.store(wanted!, {
        ...batch(0n, 2),
        records: Effect.suspend(() => {
          attempts += 1
          return attempts === 1 ? Effect.never : Effect.succeed(recordsFrom(0n, 2))
        })
      })
      const taker = yield* Effect.forkChild(owned.take(partition(0)))
      yield* Effect.yieldNow
      assert.strictEqual(attempts, 1)
      yield* Fiber.interrupt(taker)
      const { position, records } = yield* owned.take(partition(0))
      assert.deepStrictEqual([attempts, position, records.length], [2, 0n, 2])
    }))

  it.effect("give nothing that was sought away from while it was decompressed", () =>
    Effect.gen(function*() {
      const owned = started(0n)
      const [wanted] = owned.startFetch(any)
      const decompressed = Deferred.makeUnsafe<void>()
      owned.store(wanted!, {
        ...batch(0n, 2),
        records: Effect.as(Deferred.await(decompressed), recordsFrom(0n, 2))
      })
      owned.endFetch([wanted!])
      const taker = yield* Effect.forkChild(owned.take(partition(0)))
      yield* Effect.yieldNow
      owned.startAt(partition(0), 40n)
      yield* Deferred.succeed(decompressed, undefined)
      const [again] = owned.startFetch(any)
      owned.store(again!, batch(40n, 1))
      owned.endFetch([again!])
      const { position, records } = yield* Fiber.join(taker)
      assert.deepStrictEqual([position, records.map(({ offset }) => offset)], [40n, [40n]])
    }))

  it("drop what was on its way when they were sought, paused, or owned anew", () => {
    const changes: ReadonlyArray<(owned: OwnedPartitions.OwnedPartitions) => void> = [
      (owned) => owned.startAt(partition(0), 0n),
      (owned) => {
        owned.pause([partition(0)])
        owned.resume([partition(0)])
      },
      (owned) => {
        owned.disown(owned.all())
        owned.adopt(membership, [partition(0)])
        owned.startAt(partition(0), 0n)
      }
    ]
    for (const change of changes) {
      const owned = started(0n)
      const wanted = owned.startFetch(any)
      change(owned)
      owned.store(wanted[0]!, batch(0n, 3))
      owned.endFetch(wanted)
      assert.deepStrictEqual(owned.startFetch(any).map(({ offset }) => offset), [0n])
    }
  })

  it("that are paused need no room, and go on where they were taken", () => {
    const owned = started(0n, 0n)
    const wanted = owned.startFetch(any)
    owned.store(wanted[0]!, batch(0n, 4))
    owned.store(wanted[0]!, batch(4n, 6))
    owned.endFetch(wanted)
    owned.pause([partition(0)])
    const [other] = owned.startFetch(any)
    assert.strictEqual(other?.partition, 1)
    owned.resume([partition(0)])
    assert.deepStrictEqual(owned.startFetch(any).map(({ offset }) => offset), [0n])
  })

  it("that are held back are not fetched", () => {
    const owned = started(0n)
    owned.hold(owned.all())
    assert.deepStrictEqual(owned.startFetch(any), [])
  })
})
