/**
 * What changes under a pipeline while it runs: its topics, and the mood of its `process`.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import { KafkaError } from "@kafka-once/core/KafkaError"
import type * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as ConsumerBench from "./ConsumerBench.ts"
import * as Random from "./internal/random.ts"
import * as LogReader from "./LogReader.ts"
import * as PipelineBench from "./PipelineBench.ts"
import { timeouts } from "./PipelineProgram.ts"
import { type DriverAt, reasonOf } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/**
 * What is run.
 *
 * **Details**
 *
 * - *Shape*: `seed` draws how `process` fails. `groupProtocol` is `"classic"` where it is left out;
 *   in the consumer protocol only the topics change.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly driver: DriverAt
  readonly seed: number
  readonly groupProtocol?: GroupProtocolName
}

/**
 * Runs the suite over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, options: Options): void => {
  const { groupProtocol = "classic" } = options
  layer(ConsumerBench.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `a pipeline whose world changes, in ${groupProtocol} groups, over ${name}`,
    (it) => {
      topics(it, options)
      if (groupProtocol === "consumer") return
      timesOut(it, options)
      failsAtRandom(it, options)
    }
  )
}

/** Runs a test over the proxy's driver, in a scope of its own. */
const over = <E, R>({ driver }: Options, test: Effect.Effect<void, E, R>) =>
  Effect.flatMap(
    ProxiedKafka.Proxy,
    ({ addresses }) => Effect.provide(Effect.scoped(test), driver(addresses))
  )

/** One request of an administrator, to whichever broker: each passes it on to the controller. */
const administrate = <A>(
  { bootstrapServers }: LogReader.At,
  request: (client: ProtocolClient.ProtocolClient) => Effect.Effect<A, unknown>
) =>
  Effect.scoped(Effect.gen(function*() {
    const [host = "", port = ""] = bootstrapServers[0]?.split(":") ?? []
    return yield* request(yield* ProtocolClient.connect(host, Number(port)))
  }))

const raisePartitions = (at: LogReader.At, name: string, count: number) =>
  administrate(at, (client) =>
    Effect.map(
      client.request("CreatePartitions", 3, {
        topics: [{ name, count, assignments: null }],
        timeoutMs: 5_000
      }),
      ({ results }) => assert.deepStrictEqual(results.map(({ errorCode }) => errorCode), [0])
    ))

const deleteTopic = (at: LogReader.At, name: string) =>
  administrate(at, (client) =>
    Effect.map(
      client.request("DeleteTopics", 5, { topicNames: [name], timeoutMs: 5_000 }),
      ({ responses }) => assert.deepStrictEqual(responses.map(({ errorCode }) => errorCode), [0])
    ))

const newPartitionsMillisMax = 30_000

const topics = (it: It, options: Options): void => {
  it.effect("new partitions of its input are read within 30 s", () =>
    over(
      options,
      Effect.gen(function*() {
        const bench = yield* PipelineBench.make(options)
        const committed = new Set<number>()
        const told = ({ partition }: { readonly partition: number }, outcome: string) => {
          if (outcome === "Committed") committed.add(partition)
        }
        const one = yield* PipelineBench.startMember(bench, { told })
        const other = yield* PipelineBench.startMember(bench, { told })
        yield* bench.write(40)
        yield* bench.awaitDone
        assert.deepStrictEqual([...committed].toSorted(), [0, 1, 2, 3])
        yield* raisePartitions(bench.kafka, bench.output, 6)
        const from = yield* Clock.currentTimeMillis
        yield* raisePartitions(bench.kafka, bench.input, 6)
        yield* bench.write(40, 6)
        yield* Effect.raceAllFirst([bench.awaitDone, one.failed, other.failed])
        const millis = (yield* Clock.currentTimeMillis) - from
        assert.deepStrictEqual([...committed].toSorted(), [0, 1, 2, 3, 4, 5])
        yield* bench.assertExact
        yield* Effect.log(`new partitions read and committed within ${millis} ms`)
        assert.isBelow(millis, newPartitionsMillisMax)
      })
    ), 120_000)

  it.effect(
    "a topic that is deleted ends its pipeline with a typed error, and no other",
    () =>
      over(
        options,
        Effect.gen(function*() {
          const doomed = yield* PipelineBench.make(options)
          const bench = yield* PipelineBench.make(options)
          const first = yield* PipelineBench.startMember(doomed)
          const second = yield* PipelineBench.startMember(bench)
          yield* doomed.write(40)
          yield* bench.write(40)
          yield* doomed.awaitDone
          yield* doomed.assertExact
          yield* deleteTopic(doomed.kafka, doomed.input)
          const exit = yield* Effect.exit(Effect.timeout(first.failed, "60 seconds"))
          assert.strictEqual(reasonOf(exit), "UnknownTopic")
          yield* bench.write(40)
          yield* Effect.raceFirst(bench.awaitDone, second.failed)
          yield* bench.assertExact
        })
      ),
    120_000
  )
}

const timesOut = (it: It, options: Options): void => {
  it.effect(
    "process that always takes longer than a transaction may: TransactionTimedOut",
    () =>
      over(
        options,
        Effect.gen(function*() {
          const bench = yield* PipelineBench.make(options)
          const outcomes = new Set<string>()
          const { failed } = yield* PipelineBench.startMember(bench, {
            sent: () => Effect.never,
            told: (_, outcome) => outcomes.add(outcome)
          })
          yield* bench.write(5)
          const exit = yield* Effect.exit(failed)
          assert.strictEqual(reasonOf(exit), "TransactionTimedOut")
          assert.deepStrictEqual([...outcomes], ["Aborted"])
          assert.deepStrictEqual(yield* LogReader.visibleValues(bench.kafka, bench.output), [])
          assert.deepStrictEqual(yield* LogReader.committedOffsets(bench.kafka, bench.groupId), [])
        })
      ),
    120_000
  )

  it.effect(
    "process that blocks the event loop beyond its transaction's time once: it is aborted, and " +
      "the pipeline goes on",
    () =>
      over(
        options,
        Effect.gen(function*() {
          const bench = yield* PipelineBench.make(options)
          let blocked: number | null = null
          let outcome = ""
          const { failed } = yield* PipelineBench.startMember(bench, {
            settings: { consumer: { ...timeouts.consumer, sessionTimeout: "20 seconds" } },
            sent: ({ number }) =>
              Effect.sync(() => {
                if (blocked !== null) return
                blocked = number
                const until = performance.now() + 8_000 // the fault itself
                while (performance.now() < until);
              }),
            told: ({ number }, told) => {
              if (number === blocked) outcome = told
            }
          })
          yield* bench.write(40)
          yield* Effect.raceFirst(bench.awaitDone, failed)
          assert.strictEqual(outcome, "Aborted")
          yield* bench.assertExact
        })
      ),
    120_000
  )
}

class Refused extends Data.TaggedError("Refused")<{}> {}

const moods = ["fails", "dies", "times out", "is interrupted"] as const

const failsAtRandom = (it: It, options: Options): void => {
  const { seed } = options
  it.effect(
    `process that fails, dies, times out and is interrupted at random (seed ${seed}): every ` +
      "input is in the output once",
    () =>
      over(
        options,
        Effect.gen(function*() {
          const bench = yield* PipelineBench.make(options)
          const random = Random.make(seed)
          const met = { "fails": 0, "dies": 0, "times out": 0, "is interrupted": 0 }
          const moody = () =>
            Effect.suspend((): Effect.Effect<void, Refused | Cause.TimeoutError> => {
              if (!random.chance(0.15)) return Effect.void
              const mood = random.pick(moods)
              met[mood] += 1
              switch (mood) {
                case "fails":
                  return Effect.fail(new Refused())
                case "dies":
                  return Effect.die("a defect of process")
                case "times out":
                  return Effect.timeout(Effect.never, "20 millis")
                case "is interrupted":
                  return Effect.interrupt
              }
            })
          const ends = { Refused: 0, defect: 0 }
          // A supervisor starts a pipeline again that has ended.
          const member = PipelineBench.startMember<Refused | Cause.TimeoutError>(bench, {
            settings: { batch: { records: 5 }, retry: Schedule.recurs(5) },
            polled: moody,
            sent: moody
          }).pipe(
            Effect.flatMap(({ failed }) => failed),
            Effect.scoped,
            Effect.exit,
            Effect.map((exit) => {
              if (Exit.hasDies(exit)) ends.defect += 1
              else if (Option.exists(Exit.findErrorOption(exit), isOwn)) ends.Refused += 1
              else assert.fail(`the pipeline ended with ${reasonOf(exit)}`)
            }),
            Effect.forever
          )
          yield* bench.write(200)
          yield* Effect.raceFirst(
            bench.awaitDone,
            Effect.all([member, member], { concurrency: 2, discard: true })
          )
          yield* bench.assertExact
          yield* Effect.log(`seed ${seed}: ${JSON.stringify(met)}, ends ${JSON.stringify(ends)}`)
          for (const mood of moods) assert.isAbove(met[mood], 0, mood)
          assert.isAbove(ends.defect, 0)
        })
      ),
    180_000
  )
}

/** What `process` failed with, and no failure of the library's. */
const isOwn = (error: unknown): boolean => !(error instanceof KafkaError)
