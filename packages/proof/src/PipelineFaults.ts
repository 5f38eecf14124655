/**
 * Two processes share a pipeline, and one of them dies, freezes or blocks at each step of a
 * transaction: the other takes its partitions over in time, every input is in the output once, and
 * nothing of the one that was gone is committed when it is back.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import type { Capabilities } from "@kafka-once/core/KafkaDriver"
import type * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ConsumerBench from "./ConsumerBench.ts"
import * as Workers from "./internal/pipelineWorkers.ts"
import * as PipelineBench from "./PipelineBench.ts"
import type { DriverAt } from "./ProducerBench.ts"
import type * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/** The session timeout of the workers, and what the group and the next owner take besides. */
const takeOverMillisMax = 6_000 + 3_000

/** For how long the event loop is blocked. */
const blockMillis = 20_000

/**
 * What is run.
 *
 * **Details**
 *
 * - *Shape*: `program` is a file that is one line around `PipelineProgram.run`. `extent` is how
 *   much of it: `"membership"` is what the protocol of the group has a say in. `groupProtocol` is
 *   `"classic"` where it is left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly program: string
  readonly driver: DriverAt
  readonly extent: "smoke" | "membership" | "all"
  readonly groupProtocol?: GroupProtocolName
  readonly capabilities: Capabilities
}

/**
 * Runs the suite over a program, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, options: Options): void => {
  const { groupProtocol = "classic" } = options
  layer(ConsumerBench.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `a worker of a pipeline that dies, freezes or blocks, in ${groupProtocol} groups, over ${name}`,
    (it) => {
      killed(it, options)
      if (options.extent === "smoke") return
      killedOfThree(it, options)
      frozen(it, options)
      if (options.extent === "membership") return
      blocked(it, options)
      signalled(it, options)
    }
  )
}

const makePlace = (
  { capabilities, driver, groupProtocol = "classic", program }: Options,
  partitions = 4
) =>
  Effect.map(PipelineBench.make({ driver, partitions }), (bench): Workers.Place => ({
    bench,
    partitions,
    program,
    groupFencing: capabilities.groupFencing,
    groupProtocol
  }))

interface Moment {
  readonly step: string
  readonly at: Workers.At
  /** What is kept reaches the broker before or after the partitions are taken over. */
  readonly arrives?: "before" | "after"
  /** The least extent that it is met in, if not only in all of it. */
  readonly extent?: "smoke" | "membership"
}

const metIn = <A extends Pick<Moment, "extent">>(
  { extent }: Options,
  all: ReadonlyArray<A>
): ReadonlyArray<A> =>
  all.filter((moment) => extent === "all" || moment.extent === "smoke" || moment.extent === extent)

const moments: ReadonlyArray<Moment> = [
  { step: "it has been assigned partitions", at: "assigned", extent: "membership" },
  { step: "process has its first records", at: "polled" },
  { step: "process is done, and its sends are acknowledged", at: "sent" },
  { step: "the positions are on their way", at: { api: "TxnOffsetCommit" }, arrives: "before" },
  {
    step: "the positions are on their way, and late",
    at: { api: "TxnOffsetCommit" },
    arrives: "after",
    extent: "membership"
  },
  { step: "the positions are acknowledged", at: "offsets", extent: "smoke" },
  { step: "the commit is on its way", at: { api: "EndTxn" }, arrives: "before" },
  { step: "the commit is on its way, and late", at: { api: "EndTxn" }, arrives: "after" },
  { step: "the commit is acknowledged, before the position moves", at: "committed" },
  { step: "process has more records of a partition", at: "again" }
]

const killed = (it: It, options: Options): void => {
  it.effect.each(metIn(options, moments))(
    "SIGKILL when $step: every input is in the output once",
    ({ arrives, at, step }) =>
      Effect.gen(function*() {
        const place = yield* makePlace(options)
        const { other, partitions, victim } = yield* Workers.meet(place, at)
        const from = yield* Clock.currentTimeMillis
        yield* victim.signal("SIGKILL")
        assert.deepStrictEqual(yield* victim.ended, { code: null, signal: "SIGKILL" })
        place.bench.killed(victim.process)
        if (arrives === "before") yield* Workers.release
        const replacement = yield* Workers.start(place, "victim")
        const both = [other, replacement]
        const millis = yield* Workers.takenOverWithin(from, partitions, both)
        if (arrives === "after") yield* Workers.release
        yield* place.bench.awaitDone
        yield* Workers.end(both)
        yield* place.bench.assertExact
        yield* Effect.log(`SIGKILL when ${step}: taken over within ${millis} ms`)
        assert.isBelow(millis, takeOverMillisMax)
      }),
    120_000
  )
}

/** Nobody comes in its place: its partitions go to the two that are left. */
const killedOfThree = (it: It, options: Options): void => {
  it.effect.each(metIn<Pick<Moment, "step" | "at" | "extent">>(options, [
    { step: "the positions are acknowledged", at: "offsets" },
    { step: "process has more records of a partition", at: "again", extent: "membership" }
  ]))(
    "SIGKILL of one of three when $step: the two that are left go on with its partitions",
    ({ at, step }) =>
      Effect.gen(function*() {
        const place = yield* makePlace(options, 6)
        const { others, partitions, victim } = yield* Workers.meet(place, at, { workers: 3 })
        assert.deepStrictEqual([others.length, partitions.length], [2, 2])
        const from = yield* Clock.currentTimeMillis
        yield* victim.signal("SIGKILL")
        assert.deepStrictEqual(yield* victim.ended, { code: null, signal: "SIGKILL" })
        place.bench.killed(victim.process)
        const millis = yield* Workers.takenOverWithin(from, partitions, others)
        yield* place.bench.awaitDone
        yield* Workers.end(others)
        yield* place.bench.assertExact
        yield* Effect.log(`SIGKILL of one of three when ${step}: taken over within ${millis} ms`)
        assert.isBelow(millis, takeOverMillisMax)
      }),
    120_000
  )
}

const frozen = (it: It, options: Options): void => {
  it.effect.each(metIn<Pick<Moment, "step" | "at" | "extent">>(options, [
    { step: "before its first send", at: "polled", extent: "membership" },
    { step: "when its positions are acknowledged", at: "offsets" },
    { step: "with its commit on its way", at: { api: "EndTxn" }, extent: "membership" }
  ]))(
    "frozen $step, past its session: nothing that it had open is committed, and it joins again",
    ({ at, step }) =>
      Effect.gen(function*() {
        const place = yield* makePlace(options)
        const { call, other, partitions, victim } = yield* Workers.meet(place, at)
        const from = yield* Clock.currentTimeMillis
        const millis = yield* Workers.takenOverWithin(from, partitions, [other])
        assert.notInclude((yield* victim.lines).join(), "outcome", "it was to be asleep")
        if (typeof at !== "string") yield* Workers.release
        yield* victim.signal("SIGCONT")
        // The first call is that of the transaction that was open.
        assert.strictEqual(yield* victim.told(`outcome ${call ?? 0}`), "Aborted")
        yield* Workers.awaitLoss(victim)
        // Neither has ended the other: the woken one has partitions again, and both go on.
        yield* Workers.awaitPlacedAgain(victim)
        yield* place.bench.write(20)
        yield* place.bench.awaitDone
        yield* Workers.end([other, victim])
        yield* place.bench.assertExact
        yield* Effect.log(`frozen ${step}: taken over within ${millis} ms`)
      }),
    120_000
  )
}

const blocked = (it: It, options: Options): void => {
  it.effect(
    "an event loop that is blocked for 20 s: the other takes over, and the blocked one's " +
      "transaction is not committed",
    () =>
      Effect.gen(function*() {
        const place = yield* makePlace(options)
        const { call, other, partitions, victim } = yield* Workers.meet(
          place,
          "polled",
          { blockMillis }
        )
        const from = yield* Clock.currentTimeMillis
        const millis = yield* Workers.takenOverWithin(from, partitions, [other])
        assert.notInclude(yield* victim.lines, "unblocked", "it was to be blocked")
        assert.isBelow(millis, takeOverMillisMax)
        yield* victim.told("unblocked")
        assert.strictEqual(yield* victim.told(`outcome ${call}`), "Aborted")
        yield* Workers.awaitLoss(victim)
        yield* place.bench.awaitDone
        yield* Workers.end([other, victim])
        yield* place.bench.assertExact
        yield* Effect.log(`blocked: taken over within ${millis} ms`)
      }),
    120_000
  )
}

const signalled = (it: It, options: Options): void => {
  it.effect(
    "a first SIGTERM lets the open transaction go on, and a second one aborts it at once",
    () =>
      Effect.gen(function*() {
        const place = yield* makePlace(options)
        const worker = yield* Workers.start(place, "victim", { at: "polled", isPatient: true })
        yield* place.bench.write(20)
        const [, call] = (yield* worker.told("polled")).split(" ")
        yield* worker.signal("SIGTERM")
        yield* worker.told("draining")
        const from = yield* Clock.currentTimeMillis
        yield* worker.signal("SIGTERM")
        assert.strictEqual(yield* worker.told(`outcome ${call}`), "Aborted")
        assert.deepStrictEqual(yield* worker.ended, { code: 130, signal: null })
        // Without the second signal it would be 40 s.
        assert.isBelow((yield* Clock.currentTimeMillis) - from, 5_000)
        const next = yield* Workers.start(place, "victim")
        yield* place.bench.awaitDone
        yield* Workers.end([next])
        yield* place.bench.assertExact
      }),
    120_000
  )
}
