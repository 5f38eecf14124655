/**
 * Members of a pipeline that their group has given up, over every driver on a real broker: what
 * they have open cannot be committed, and others go on with their records.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { It, Subject } from "./ConsumerBench.ts"
import { type Bench, copy, partitions, withBench } from "./CopyBench.ts"
import * as Steps from "./DriverSteps.ts"
import { evictAll } from "./internal/eviction.ts"

/**
 * Adds the tests of fenced members to a suite.
 *
 * @category testing
 * @since 0.1.0
 */
export const tests = (it: It, subject: Subject): void => {
  const isClassic = subject.groupProtocol === "classic"
  const quick = isClassic ? { heartbeatInterval: "200 millis" } as const : {}
  const throwOut = (bench: Bench) =>
    isClassic
      ? Effect.map(evictAll(bench.kafka, bench.groupId), (count) => assert.strictEqual(count, 1))
      : Effect.flatMap(
        bench.proxy.inject(FaultProxyRule.error({ api, nth: 1 }, "FENCED_MEMBER_EPOCH")),
        ({ fired }) => fired
      )

  it.effect("a member that is thrown out in the middle of a transaction aborts it", () =>
    withBench(subject, (bench) =>
      Effect.gen(function*() {
        yield* bench.write(20)
        const isOpen = yield* Deferred.make<void>()
        let isFirst = true
        const ends: Array<string> = []
        yield* bench.start({
          consumer: quick,
          process: (batch) =>
            Effect.andThen(
              copy(batch),
              Effect.suspend(() => {
                if (!isFirst) return Effect.void
                isFirst = false
                // Open until it is interrupted.
                return Effect.andThen(Deferred.succeed(isOpen, undefined), Effect.never)
              })
            ).pipe(Effect.onExit(({ _tag }) => Effect.sync(() => ends.push(_tag))))
        })
        yield* Deferred.await(isOpen)
        yield* throwOut(bench)
        yield* bench.awaitDone
        assert.include(ends, "Failure")
        yield* bench.assertCopied
      })))

  if (subject.groupProtocol === "consumer") missed(it, subject)
}

/**
 * In the consumer protocol a member does not know for how long its group waits for it. In the
 * classic one it does, and gives up by itself before it could be refused.
 */
const missed = (it: It, subject: Subject): void => {
  it.effect("a member that its group has missed is refused with what it has open", () =>
    withBench(subject, (bench) =>
      Effect.gen(function*() {
        yield* bench.write(20)
        const isOpen = yield* Deferred.make<void>()
        const goOn = yield* Deferred.make<void>()
        yield* Effect.scoped(Effect.gen(function*() {
          yield* bench.start({
            producer: { transactionTimeout: "40 seconds" },
            process: (batch) =>
              copy(batch).pipe(
                Effect.andThen(Deferred.succeed(isOpen, undefined)),
                Effect.andThen(Deferred.await(goOn))
              )
          })
          yield* Deferred.await(isOpen)
          const silenced = yield* bench.proxy.inject(FaultProxyRule.dropRequest({ api }))
          // Another one gets all partitions, once the group has missed the first.
          const other = yield* Effect.provideContext(
            bench.start(),
            yield* Layer.build(bench.direct)
          )
          yield* Steps.until(other.positions, (all) => all.length === partitions)
          yield* bench.awaitDone
          yield* silenced.fired
          const after = yield* bench.proxy.log.position
          yield* Deferred.succeed(goOn, undefined)
          const offsets = yield* bench.proxy.log.awaitFrame(
            { api: "TxnOffsetCommit", phase: "response" },
            { after }
          )
          assert.strictEqual(offsets.answer?.errorCode, unknownMemberId)
          yield* bench.proxy.log.awaitFrame({ api: "EndTxn", commit: false }, { after })
        }))
        yield* bench.assertCopied
      })))
}

const api = "ConsumerGroupHeartbeat"

const unknownMemberId = 25
