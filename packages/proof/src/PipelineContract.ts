/**
 * What an exactly-once pipeline does over every driver, on a real broker with faults.
 *
 * Each test copies numbered records from one topic to another, and in the end looks into the logs:
 * every number once, and the group's positions behind the last one.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { ExactlyOnceOptions } from "@kafka-once/core/ExactlyOnceOptions"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import type * as Transaction from "@kafka-once/core/Transaction"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as Steps from "./DriverSteps.ts"
import * as LogReader from "./LogReader.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/**
 * Runs the contract of pipelines over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `pipelines, over ${name}`,
    (it) => {
      copying(it, driver)
      failing(it, driver)
      sharing(it, driver)
    }
  )
}

/**
 * The same under faults on the wire, in the network and of the broker.
 *
 * @category testing
 * @since 0.1.0
 */
export const faults = (name: string, driver: DriverAt): void => {
  layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `pipelines under faults, over ${name}`,
    (it) => {
      wireFaults(it, driver)
      outages(it, driver)
    }
  )
}

const partitions = 4

class Refused extends Data.TaggedError("Refused")<{ readonly value: string }> {}

type Text = string | null

type Options<E> = Partial<ExactlyOnceOptions<Text, Text, E, Transaction.Transaction>>

interface Bench {
  readonly kafka: EmbeddedKafka.EmbeddedKafka["Service"]
  readonly proxy: ProxiedKafka.Proxy["Service"]
  readonly input: string
  readonly output: string
  readonly dead: string
  readonly groupId: string
  /** So many more numbered records in each partition. */
  readonly write: (perPartition: number) => Effect.Effect<void, unknown>
  /** A pipeline that copies, with changes; it runs until the scope closes. */
  readonly start: <E = KafkaError>(
    changes?: Options<E | KafkaError>
  ) => Effect.Effect<ExactlyOnce.Running<E | KafkaError>, KafkaError, KafkaDriver | Scope.Scope>
  /** Waits until the group has everything behind it. */
  readonly awaitDone: Effect.Effect<void, unknown>
  /** The values that a reader of what is committed sees. */
  readonly visible: (topic: string) => Effect.Effect<ReadonlyArray<string>, unknown>
  /** Holds the output against what was written: every value once. */
  readonly assertCopied: Effect.Effect<void, unknown>
}

// The output is told by the value, so that one function serves every test.
const copy = ExactlyOnce.eachRecord<Text, Text, never, never>(({ key, value }) =>
  Effect.succeed([{ topic: `output-${value?.slice(0, value.indexOf(" "))}`, key, value }])
)

const withBench = <E>(
  driver: DriverAt,
  test: (bench: Bench) => Effect.Effect<unknown, E, KafkaDriver | Scope.Scope>
) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* ProxiedKafka.Proxy
    const id = randomUUID().slice(0, 8)
    const [input, output, dead, groupId] = [
      `input-${id}`,
      `output-${id}`,
      `dead-${id}`,
      `group-${id}`
    ]
    yield* kafka.createTopic(input, { partitions })
    yield* kafka.createTopic(output, { partitions })
    yield* kafka.createTopic(dead)
    const written: Array<string> = []
    const direct = driver(kafka.bootstrapServers)
    const visible = (topic: string) => LogReader.visibleValues(kafka, topic)
    const bench: Bench = {
      kafka,
      proxy,
      input,
      output,
      dead,
      groupId,
      write: (perPartition) =>
        Effect.scoped(Effect.gen(function*() {
          const { session } = yield* Steps.open(`writer-${id}`)
          const batches = Array.from({ length: partitions }, (_, partition) =>
            Steps.batch(
              input,
              partition,
              ...Array.from(
                { length: perPartition },
                (_, index) => `${id} ${partition} ${written.length + index}`
              )
            ))
          yield* Steps.transact(session, batches, "commit")
          const decoder = new TextDecoder()
          for (const { records } of batches) {
            written.push(...records.map(({ value }) => decoder.decode(value ?? undefined)))
          }
        })).pipe(Effect.provide(direct)),
      start: (changes) =>
        ExactlyOnce.make({
          groupId,
          input: Topic.make({ name: input, key: Topic.text, value: Topic.text }),
          process: copy,
          batch: { records: 50 },
          ...changes
        }),
      awaitDone: Steps.until(
        Effect.gen(function*() {
          const logs = yield* LogReader.read(kafka, input)
          const ends = logs.map((log) => [log.partition, log.highWatermark] as const)
          const committed = new Map(
            (yield* LogReader.committedOffsets(kafka, groupId))
              .filter(({ topic }) => topic === input)
              .map(({ offset, partition }) => [partition, offset])
          )
          // What is committed may stand before a marker at the very end.
          return ends.every(([partition, end]) => (committed.get(partition) ?? 0n) >= end - 1n)
          // While a transaction has positions pending the broker answers none (88).
        }).pipe(Effect.orElseSucceed(() => false)),
        (isDone) => isDone
      ).pipe(Effect.map((isDone) => assert.isTrue(isDone, "the group is not at the end"))),
      visible,
      assertCopied: Effect.map(visible(output), (values) =>
        assert.deepStrictEqual(values, written.toSorted()))
    }
    yield* Effect.scoped(test(bench)).pipe(Effect.provide(driver(proxy.addresses)))
  })

const copying = (it: It, driver: DriverAt): void => {
  it.effect("what is read is written once, and its positions are committed with it", () =>
    withBench(driver, ({ assertCopied, awaitDone, start, write }) =>
      Effect.gen(function*() {
        yield* write(200)
        yield* start()
        yield* awaitDone
        yield* write(100)
        yield* awaitDone
        yield* assertCopied
      })))

  it.effect("outputs and positions are in one transaction", () =>
    withBench(driver, ({ awaitDone, groupId, proxy, start, write }) =>
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
      driver,
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

const failing = (it: It, driver: DriverAt): void => {
  it.effect("records that fail alone go to the dead-letter topic, and all others through", () =>
    withBench(driver, (bench) =>
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
    withBench(driver, (bench) =>
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
    withBench(driver, (bench) =>
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

const sharing = (it: It, driver: DriverAt): void => {
  it.effect("members that join and leave while it runs neither lose nor double anything", () =>
    withBench(driver, (bench) =>
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

const wireFaults = (it: It, driver: DriverAt): void => {
  it.effect.each(
    [
      { fault: "a commit's lost answer", rule: FaultProxyRule.dropResponse, api: "EndTxn" },
      { fault: "a lost commit", rule: FaultProxyRule.dropRequest, api: "EndTxn" },
      { fault: "a lost answer to a send", rule: FaultProxyRule.dropResponse, api: "Produce" },
      {
        fault: "a lost answer to the offsets",
        rule: FaultProxyRule.dropResponse,
        api: "TxnOffsetCommit"
      },
      { fault: "lost offsets", rule: FaultProxyRule.dropRequest, api: "TxnOffsetCommit" },
      { fault: "a lost fetch", rule: FaultProxyRule.dropResponse, api: "Fetch" },
      { fault: "a reset heartbeat", rule: FaultProxyRule.resetAfter, api: "Heartbeat" },
      { fault: "a lost join", rule: FaultProxyRule.resetBefore, api: "JoinGroup" }
    ] as const
  )(
    "$fault costs nothing but time",
    ({ api, rule }) =>
      withBench(driver, (bench) =>
        Effect.gen(function*() {
          yield* bench.write(60)
          const first = yield* bench.proxy.inject(rule({ api, nth: 1 }))
          yield* bench.start({
            batch: { records: 20 },
            consumer: { heartbeatInterval: "300 millis" }
          })
          yield* first.fired
          yield* bench.awaitDone
          yield* bench.assertCopied
        }))
  )

  it.effect("resets of all connections while it runs cost nothing but time", () =>
    withBench(driver, (bench) =>
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

const outages = (it: It, driver: DriverAt): void => {
  it.effect(
    "a network that is gone for a while is waited for, and no pause once it is back",
    () =>
      withBench(driver, (bench) =>
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
      withBench(driver, (bench) =>
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
