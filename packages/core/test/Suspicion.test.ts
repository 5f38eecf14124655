import { assert, describe, it } from "@effect/vitest"
import * as Suspicion from "../src/internal/pipeline/suspicion.ts"
import * as Dice from "./support/Dice.ts"

/** Runs records through the state machine as a pipeline does, and tells what it made of them. */
const runThrough = (records: ReadonlyArray<{ readonly isPoison: boolean }>, retries: number) => {
  let suspicion: Suspicion.Suspicion = Suspicion.trusted
  let position = 0
  let retried = 0
  let tries = 0
  const dead: Array<number> = []
  while (position < records.length) {
    tries += 1
    assert.isBelow(tries, 10_000, "it never ends")
    const count = Math.min(records.length - position, Suspicion.limit(suspicion))
    const batch = records.slice(position, position + count)
    if (suspicion._tag === "Condemned") {
      assert.strictEqual(suspicion.offset, BigInt(position))
      dead.push(position)
    } else if (batch.some(({ isPoison }) => isPoison)) {
      const mayRetry = retried < retries
      if (mayRetry && suspicion._tag !== "Searching") retried += 1
      const failed = { offset: BigInt(position), records: count, error: "poison" }
      suspicion = Suspicion.failed(suspicion, failed, mayRetry)
      continue
    }
    suspicion = Suspicion.committed(suspicion, count)
    if (suspicion._tag === "Trusted") retried = 0
    position += count
  }
  return { dead, tries }
}

describe("the search for a record that keeps failing", () => {
  it("finds exactly the poison, whatever there is (KAFKA_ONCE_SEED replays)", () => {
    for (const seed of Dice.seeds(200)) {
      const dice = Dice.make(seed)
      const percent = dice.pick([0, 1, 10, 50, 100])
      const records = Array.from(
        { length: 1 + dice.next(300) },
        () => ({ isPoison: dice.chance(percent) })
      )
      const expected = records.flatMap(({ isPoison }, i) => isPoison ? [i] : [])
      assert.deepStrictEqual(runThrough(records, dice.next(3)).dead, expected, `seed ${seed}`)
    }
  })

  it("takes about twice the logarithm of the batch for one record among many", () => {
    for (const at of [0, 1, 511, 512, 1_000, 1_023]) {
      const records = Array.from({ length: 1_024 }, (_, i) => ({ isPoison: i === at }))
      assert.isAtMost(runThrough(records, 0).tries, 2 * 10 + 3)
    }
  })

  it("a failure that does not come again kills nothing", () => {
    const failed = { offset: 0n, records: 8, error: "once" }
    let suspicion = Suspicion.failed(Suspicion.trusted, failed, false)
    for (let left = 8; left > 0;) {
      const count = Math.min(left, Suspicion.limit(suspicion))
      suspicion = Suspicion.committed(suspicion, count)
      left -= count
    }
    assert.strictEqual(suspicion._tag, "Trusted")
  })

  it("retries the same records while the schedule says so, and counts the attempts", () => {
    const failed = { offset: 5n, records: 1, error: "again" }
    const once = Suspicion.failed(Suspicion.trusted, failed, true)
    assert.deepStrictEqual(once, { _tag: "Retrying", records: 1, attempts: 1 })
    const twice = Suspicion.failed(once, failed, false)
    assert.deepStrictEqual(twice, { _tag: "Condemned", offset: 5n, attempts: 2, error: "again" })
  })
})
