/**
 * What an exactly-once pipeline does over every driver, on a real broker with faults.
 *
 * Each test copies numbered records from one topic to another, and in the end looks into the logs:
 * every number once, and the group's positions behind the last one.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as ConsumerBench from "./ConsumerBench.ts"
import type { It, Subject } from "./ConsumerBench.ts"
import { copy, partitions, Refused, type Text, withBench } from "./CopyBench.ts"
import * as Steps from "./DriverSteps.ts"
import * as LogReader from "./LogReader.ts"
import * as PipelineFencing from "./PipelineFencing.ts"
import type { DriverAt } from "./ProducerBench.ts"

/**
 * Runs the contract of pipelines over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (
  name: string,
  driver: DriverAt,
  { broker, groupProtocol = "classic" }: ConsumerBench.Options = {}
): void => {
  const subject = { driver, groupProtocol }
  layer(ConsumerBench.layer(broker), { timeout: "3 minutes", excludeTestServices: true })(
    `pipelines, over ${name}, ${groupProtocol} groups`,
    (it) => {
      copying(it, subject)
      failing(it, subject)
      sharing(it, subject)
      PipelineFencing.tests(it, subject)
    }
  )
}

/**
 * The same under faults on the wire, in the network and of the broker.
 *
 * @category testing
 * @since 0.1.0
 */
export const faults = (
  name: string,
  driver: DriverAt,
  { broker, groupProtocol = "classic" }: ConsumerBench.Options = {}
): void => {
  const subject = { driver, groupProtocol }
  layer(ConsumerBench.layer(broker), { timeout: "3 minutes", excludeTestServices: true })(
    `pipelines under faults, over ${name}, ${groupProtocol} groups`,
    (it) => {
      wireFaults(it, subject)
      outages(it, subject)
    }
  )
}

const copying = (it: It, subject: Subject): void => {
  it.effect("what is read is written once, and its positions are committed with it", () =>
    withBench(subject, ({ assertCopied, awaitDone, start, write }) =>
      Effect.gen(function*() {
        yield* write(200)
        yield* start()
        yield* awaitDone
        yield* write(100)
        yield* awaitDone
        yield* assertCopied
      })))

  it.effect("outputs and positions are in one transaction", () =>
    withBench(subject, ({ awaitDone, groupId, proxy, start, write }) =>
      Effect.gen(function*() {
        yield* write(60)
        yield* start()
        yield* awaitDone
        const ends = (yield* proxy.log.entries).filter(({ transactionalId }) =>
          transactionalId?.startsWith(`kafka-once.${groupId}`)
        )
        const ids = new Set(ends.map(({ transactionalId }) => transactionalId))
        for (const id of ids) {
          const requests = ends.filter(({ transactionalId }) => transactionalId === id)
            .map(({ api }) => api)
            .filter((api) => ["Produce", "TxnOffsetCommit", "EndTxn"].includes(api))
          assert.match(requests.join(" "), /^((Produce )+(TxnOffsetCommit )+(EndTxn ?)+)+$/)
        }
        assert.isAbove(ids.size, 0)
      })))

  it.effect("a pipeline that ends leaves nothing open, and the next one goes on after it", () =>
    withBench(
      subject,
      ({ assertCopied, awaitDone, groupId, kafka, start, write }) =>
        Effect.gen(function*() {
          for (let round = 0; round < 3; round++) {
            yield* write(40)
            yield* Effect.scoped(Effect.andThen(start(), awaitDone))
            const open = yield* LogReader.openTransactions(kafka, `kafka-once.${groupId}`)
            assert.deepStrictEqual(open, [])
          }
          yield* assertCopied
        })
    ))
}

const failing = (it: It, subject: Subject): void => {
  it.effect("records that fail alone go to the dead-letter topic, and all others through", () =>
    withBench(subject, (bench) =>
      Effect.gen(function*() {
        yield* bench.write(80)
        const isPoison = (value: Text) => Number(value?.split(" ")[2]) % 37 === 5
        yield* bench.start({
          deadLetterTopic: bench.dead,
          retry: Schedule.recurs(1),
          process: (batch) => {
            const poison = batch.records.find(({ value }) => isPoison(value))
            return poison === undefined
              ? copy(batch)
              : Effect.fail(new Refused({ value: String(poison.value) }))
          }
        })
        yield* bench.awaitDone
        const copied = yield* bench.visible(bench.output)
        const dead = yield* bench.visible(bench.dead)
        assert.isAbove(dead.length, 3)
        assert.isTrue(dead.every(isPoison))
        assert.isFalse(copied.some(isPoison))
        assert.strictEqual(new Set([...copied, ...dead]).size, 80 * partitions)
        assert.strictEqual(copied.length + dead.length, 80 * partitions)
      })))

  it.effect("without a dead-letter topic the pipeline fails with what process failed with", () =>
    withBench(subject, (bench) =>
      Effect.gen(function*() {
        yield* bench.write(10)
        const { failed } = yield* bench.start({
          retry: Schedule.recurs(1),
          process: ({ records }) => Effect.fail(new Refused({ value: records[0]?.value ?? "" }))
        })
        const error = yield* Effect.flip(failed)
        assert.strictEqual(error._tag, "Refused")
        assert.deepStrictEqual(yield* bench.visible(bench.output), [])
        assert.deepStrictEqual(yield* LogReader.committedOffsets(bench.kafka, bench.groupId), [])
      })))

  it.effect("what fails at random is tried until it is through, and is there once", () =>
    withBench(subject, (bench) =>
      Effect.gen(function*() {
        yield* bench.write(150)
        let attempts = 0
        let failures = 0
        yield* bench.start({
          batch: { records: 10 },
          retry: Schedule.recurs(20),
          process: (batch) =>
            Effect.andThen(
              copy(batch),
              Effect.suspend(() => {
                // After the sends, so that there is something to abort.
                attempts += 1
                if (attempts % 3 !== 0) return Effect.void
                failures += 1
                return Effect.fail(new Refused({ value: "at random" }))
              })
            )
        })
        yield* bench.awaitDone
        assert.isAbove(failures, 10)
        yield* bench.assertCopied
      })))
}

const sharing = (it: It, subject: Subject): void => {
  it.effect("members that join and leave while it runs neither lose nor double anything", () =>
    withBench(subject, (bench) =>
      Effect.gen(function*() {
        yield* bench.write(100)
        yield* bench.start({ batch: { records: 5 } })
        for (let round = 0; round < 3; round++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { positions } = yield* bench.start({ batch: { records: 5 } })
            yield* bench.write(50)
            // It has its share of the partitions.
            yield* Steps.until(positions, (all) => all.length === partitions / 2)
          }))
        }
        yield* bench.awaitDone
        yield* bench.assertCopied
      })))
}

interface WireFault {
  readonly fault: string
  readonly rule: (match: FaultProxyRule.Match) => FaultProxyRule.FaultProxyRule
  readonly api: FaultProxyRule.Match["api"] & string
  readonly nth?: number
}

const { dropRequest, dropResponse, resetAfter, resetBefore } = FaultProxyRule

const faultsOfAll: ReadonlyArray<WireFault> = [
  { fault: "a commit's lost answer", rule: dropResponse, api: "EndTxn" },
  { fault: "a lost commit", rule: dropRequest, api: "EndTxn" },
  { fault: "a lost answer to a send", rule: dropResponse, api: "Produce" },
  { fault: "a lost answer to the offsets", rule: dropResponse, api: "TxnOffsetCommit" },
  { fault: "lost offsets", rule: dropRequest, api: "TxnOffsetCommit" },
  { fault: "a lost fetch", rule: dropResponse, api: "Fetch" }
]

const faultsOfGroups: { readonly [P in GroupProtocolName]: ReadonlyArray<WireFault> } = {
  classic: [
    { fault: "a reset heartbeat", rule: resetAfter, api: "Heartbeat" },
    { fault: "a lost join", rule: resetBefore, api: "JoinGroup" }
  ],
  consumer: [
    { fault: "a lost answer to a join", rule: dropResponse, api: "ConsumerGroupHeartbeat" },
    { fault: "a reset heartbeat", rule: resetAfter, api: "ConsumerGroupHeartbeat", nth: 3 }
  ]
}

const wireFaults = (it: It, subject: Subject): void => {
  it.effect.each([...faultsOfAll, ...faultsOfGroups[subject.groupProtocol]])(
    "$fault costs nothing but time",
    ({ api, nth = 1, rule }) =>
      withBench(subject, (bench) =>
        Effect.gen(function*() {
          yield* bench.write(60)
          const first = yield* bench.proxy.inject(rule({ api, nth }))
          yield* bench.start({
            batch: { records: 20 },
            consumer: subject.groupProtocol === "classic" ? { heartbeatInterval: "300 millis" } : {}
          })
          yield* first.fired
          yield* bench.awaitDone
          yield* bench.assertCopied
        }))
  )

  it.effect("resets of all connections while it runs cost nothing but time", () =>
    withBench(subject, (bench) =>
      Effect.gen(function*() {
        yield* bench.write(200)
        yield* bench.start({ batch: { records: 10 } })
        let reset = 0
        yield* Effect.repeat(
          Effect.tap(bench.proxy.resetAll, (count) =>
            Effect.sync(() => {
              reset += count
            })),
          Schedule.spaced("700 millis").pipe(Schedule.upTo({ times: 5 }))
        )
        assert.isAbove(reset, 5)
        yield* bench.awaitDone
        yield* bench.assertCopied
      })))
}

const outages = (it: It, subject: Subject): void => {
  it.effect(
    "a network that is gone for a while is waited for, and no pause once it is back",
    () =>
      withBench(subject, (bench) =>
        Effect.gen(function*() {
          yield* bench.write(50)
          const running = yield* bench.start({ batch: { records: 10 } })
          yield* bench.awaitDone
          yield* bench.proxy.blackhole("both")
          yield* bench.write(50)
          const failed = yield* Effect.forkScoped(running.failed)
          // The fault itself: until the pauses are at their longest.
          yield* Effect.sleep("30 seconds")
          assert.isUndefined(failed.pollUnsafe())
          const healedAt = performance.now()
          yield* bench.proxy.heal
          yield* bench.awaitDone
          // A fetch that is on its way is missed after 3 s; pauses and probes alone may take 10 s.
          assert.isBelow(performance.now() - healedAt, 8_000)
          yield* bench.assertCopied
          yield* Fiber.interrupt(failed)
        }).pipe(Effect.ensuring(bench.proxy.heal))),
    120_000
  )

  it.effect(
    "a broker that is killed and comes back costs nothing but time",
    () =>
      withBench(subject, (bench) =>
        Effect.gen(function*() {
          yield* bench.write(100)
          const running = yield* bench.start({ batch: { records: 10 } })
          yield* Steps.until(running.positions, (all) => all.length === partitions)
          yield* bench.kafka.kill
          yield* bench.kafka.start
          yield* bench.write(50)
          yield* bench.awaitDone
          yield* bench.assertCopied
        })),
    120_000
  )
}
