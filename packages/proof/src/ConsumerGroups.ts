/**
 * How the members of a classic group share their partitions, over a driver on a real broker.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { first, type It, type Subject, withTopic } from "./ConsumerBench.ts"
import * as Consumer from "./ConsumerSteps.ts"
import * as Steps from "./DriverSteps.ts"

/**
 * Adds the tests of classic groups to a suite.
 *
 * @category testing
 * @since 0.1.0
 */
export const tests = (it: It, subject: Subject): void => {
  it.effect("a revocation is held until it is released, and then two members share (K24)", () =>
    withTopic(subject, { partitions: 4 }, ({ options, topic }) =>
      Effect.gen(function*() {
        const { assigned, session } = yield* Consumer.openFromStart(options())
        assert.strictEqual(assigned.partitions.length, 4)
        const second = yield* Consumer.open(options())
        const secondAssigned = yield* Effect.forkScoped(Consumer.eventOf(second, "Assigned"))
        const revoking = yield* Consumer.eventOf(session, "Revoking")
        assert.strictEqual(revoking.partitions.length, 4)
        assert.isAtLeast(revoking.budgetMillis, 5_000)
        // The group waits for this member, which still belongs to it.
        assert.strictEqual(Steps.told(yield* Effect.flip(session.heartbeat)), "Heartbeat: 27")
        yield* session.commit(assigned.membership, [{ ...first(topic), offset: 1n }])
        assert.isUndefined(secondAssigned.pollUnsafe())
        yield* revoking.release
        const mine = yield* Consumer.eventOf(session, "Assigned")
        const theirs = yield* Fiber.join(secondAssigned)
        assert.strictEqual(mine.membership.generationId, theirs.membership.generationId)
        assert.strictEqual(mine.partitions.length, 2)
        assert.deepStrictEqual(
          Consumer.named([...mine.partitions, ...theirs.partitions]),
          Consumer.named(assigned.partitions)
        )
        // The generation of before is over.
        assert.strictEqual(
          Steps.told(
            yield* Effect.flip(
              session.commit(assigned.membership, [{ ...first(topic), offset: 2n }])
            )
          ),
          "OffsetCommit: 22"
        )
      })))

  it.effect("a revocation that is not released in time is a loss, and the group goes on", () =>
    withTopic(subject, {}, ({ options }) =>
      Effect.gen(function*() {
        const brief = options({ rebalanceTimeoutMillis: 2_000, requestTimeoutMillis: 800 })
        const { session } = yield* Consumer.openFromStart(brief)
        const second = yield* Consumer.open(brief)
        yield* Effect.forkScoped(Consumer.eventOf(second, "Assigned"))
        yield* Consumer.eventOf(session, "Revoking")
        const { partitions } = yield* Consumer.eventOf(session, "Lost")
        assert.strictEqual(partitions.length, 1)
        yield* Consumer.eventOf(session, "Assigned")
      })))

  it.effect("a member that leaves is missed at once", () =>
    withTopic(subject, { partitions: 2 }, ({ options }) =>
      Effect.gen(function*() {
        const leaving = yield* Scope.make()
        const slow = options({ sessionTimeoutMillis: 30_000 })
        yield* Scope.provide(Consumer.openFromStart(slow), leaving)
        const second = yield* Consumer.open(slow)
        yield* Scope.close(leaving, Exit.void)
        const startedAt = performance.now()
        yield* Steps.until(
          Consumer.eventOf(second, "Assigned").pipe(
            Effect.raceFirst(Effect.flatMap(
              Consumer.eventOf(second, "Revoking"),
              ({ release }) => Effect.as(release, { partitions: [] })
            ))
          ),
          ({ partitions }) => partitions.length === 2
        )
        assert.isBelow(performance.now() - startedAt, 10_000)
      })))
}
