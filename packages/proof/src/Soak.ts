/**
 * A cluster of three nodes, several programs that write to it and a pipeline that copies what they
 * commit, under faults of all kinds, for as long as one likes; and what the history checker makes
 * of it.
 *
 * @since 0.1.0
 */
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { consumerProtocolTimes } from "./ConsumerBench.ts"
import * as FinalState from "./FinalState.ts"
import * as HistoryChecker from "./HistoryChecker.ts"
import * as HistoryIndex from "./HistoryIndex.ts"
import * as HistoryRecorder from "./HistoryRecorder.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"
import * as CatchUp from "./soak/catchUp.ts"
import * as FaultPlan from "./soak/faultPlan.ts"
import * as Figures from "./soak/figures.ts"
import * as Outages from "./soak/outages.ts"
import * as Programs from "./soak/programs.ts"

/**
 * What to soak.
 *
 * **Details**
 *
 * *Shape*: `program` is the file that runs `SoakProgram`, `drivers` those that it knows: each
 * writer takes the next one. Of `pipelineDrivers`, which speak `groupProtocol`, the seed picks that
 * of the pipeline, whose members must have the same. `directory` is an empty one for the histories.
 *
 * *Units and bounds*: `seconds` from the first transaction to the last fault. `seed` draws faults
 * and transactions: the same seed gives the same ones in the same order.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly seconds: number
  readonly seed: number
  readonly program: string
  readonly drivers: ReadonlyArray<string>
  readonly pipelineDrivers: ReadonlyArray<string>
  readonly groupProtocol: GroupProtocolName
  readonly directory: string
  readonly onProgress: (line: string) => void
}

/**
 * What came of it: the checker's report with the figures.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result {
  readonly seed: number
  readonly report: HistoryChecker.Report
  readonly figures: Figures.Figures
}

/** A program did what nobody had asked it to, or not what it was asked to. */
class Astray extends Data.TaggedError("Astray")<{ readonly what: string }> {
  override get message(): string {
    return this.what
  }
}

const topic = "soak"
const output = "soak-copied"
const group = "soak-copiers"
const partitions = 6
const writers = 2
const members = 2
const places = writers + members
const idsPerProgram = 6

/**
 * A killed node reads again, before it serves, all that was not known to be on its disk. With one
 * segment of an hour that took longer than a start may take.
 */
const shortRecovery = {
  "log.segment.bytes": "16777216",
  "log.flush.offset.checkpoint.interval.ms": "5000"
}

const properties = { ...shortRecovery, ...consumerProtocolTimes }

/** After the last fault, for the last recovery to be seen. */
const calm = "6 seconds"

/** For all of the logs: 10 million records took 37 s. */
const readLimit = "15 minutes" as const

/** For the pipeline to come to the end of its input, with nothing in its way. */
const catchUpLimit = "10 minutes"

/** Before a member of the pipeline that has failed is started again, as a supervisor would. */
const restartPause = "2 seconds"

/** For a program to end that was asked to; unknown outcomes are asked for within it. */
const endLimit = "90 seconds"

/**
 * Runs the soak.
 *
 * **Details**
 *
 * *Errors*: whatever keeps it from being carried out: a broker that does not start, a program that
 * ends by itself or does not end when it is asked to, a log that cannot be read. Anomalies are no
 * errors, they are in the result.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (options: Options): Effect.Effect<Result, unknown> =>
  Effect.provide(
    Effect.scoped(soak(options)),
    Layer.fresh(ProxiedKafka.layer({ nodes: 3, properties }, { entriesMax: 1_000 }))
  )

const soak = Effect.fnUntraced(function*(options: Options) {
  const { directory, groupProtocol, onProgress, seconds, seed } = options
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const proxy = yield* ProxiedKafka.Proxy
  yield* kafka.createTopic(topic, { partitions })
  yield* kafka.createTopic(output, { partitions })
  // Not the seed, which two runs may share: a record of another run must not be taken for one.
  const runNumber = (yield* Clock.currentTimeMillis) % 2 ** 32
  const ownFile = `${directory}/history-0.jsonl`
  const recorder = yield* HistoryRecorder.make({ file: ownFile, run: runNumber, process: 0 })
  const pipelineDriver = nth(options.pipelineDrivers, seed)
  const programs = yield* Programs.make({
    ...options,
    places: Array.from({ length: places }, (_, place) =>
      place < writers
        ? { driver: nth(options.drivers, place), pipeline: null }
        : { driver: pipelineDriver, pipeline: { group, groupProtocol, output } }),
    plan: {
      addresses: proxy.addresses,
      topic,
      partitions,
      run: runNumber,
      seed,
      ids: idsPerProgram
    }
  })
  for (let place = 0; place < places; place++) yield* programs.start(place)
  const bench = { kafka, proxy, programs, recorder }
  const tally = Figures.tally()
  yield* faultsOf(bench, options, tally).pipe(
    Effect.raceFirst(Effect.sleep(Duration.seconds(seconds))),
    Effect.raceFirst(watch(programs, tally, onProgress))
  )
  onProgress("no more faults")
  yield* proxy.heal
  yield* kafka.awaitInSync
  const at = { bootstrapServers: kafka.bootstrapServers, limit: readLimit }
  yield* Effect.gen(function*() {
    yield* Effect.sleep(calm)
    for (let place = 0; place < writers; place++) yield* end(programs.at(place))
    onProgress("all writers have ended; the pipeline catches up")
    yield* CatchUp.awaitEnd(at, { group, topic, within: catchUpLimit })
  }).pipe(Effect.raceFirst(watchMembers(programs, tally, onProgress)))
  for (let place = writers; place < places; place++) yield* end(programs.at(place))
  onProgress("all programs have ended; reading the logs")
  const history = yield* HistoryIndex.read([ownFile, ...programs.files()])
  const state = yield* FinalState.read(at, {
    run: runNumber,
    topics: [topic, output],
    groups: [group]
  })
  const report = HistoryChecker.check(history, state, {
    pipeline: { group, inputTopic: topic, outputTopics: [output] }
  })
  return { seed, report, figures: Figures.of(history, report, tally) }
})

const nth = (drivers: ReadonlyArray<string>, index: number): string =>
  drivers[index % drivers.length] ?? ""

/** All faults of the plan, wire faults beside outages, until it is interrupted. */
const faultsOf = (
  bench: Outages.Bench,
  { groupProtocol, onProgress, seed }: Options,
  tally: Figures.Tally
) => {
  const outages = Effect.gen(function*() {
    const targets = { nodes: bench.kafka.nodes.length, programs: places }
    for (const { fault, pauseMillis } of FaultPlan.outages(seed, targets)) {
      yield* Effect.sleep(pauseMillis)
      onProgress(JSON.stringify(fault))
      yield* Outages.carryOut(bench, fault)
      Figures.count(tally.outages, fault._tag)
    }
  })
  const wire = Effect.gen(function*() {
    for (const { fault, pauseMillis } of FaultPlan.wireFaults(seed, groupProtocol)) {
      yield* Effect.sleep(pauseMillis)
      yield* Effect.scoped(Effect.gen(function*() {
        const rule = yield* bench.proxy.inject(fault)
        yield* Effect.timeoutOption(rule.fired, "2 seconds")
        if ((yield* rule.hits) > 0) {
          Figures.count(tally.wire, `${fault.action.type} ${fault.match.api}`)
        }
      }))
    }
  })
  return Effect.all([outages, wire], { concurrency: "unbounded", discard: true })
}

type Told = Options["onProgress"]

/** Fails when a writer ends that nobody has asked to, and starts members of the pipeline again. */
const watch = (programs: Programs.Programs, tally: Figures.Tally, onProgress: Told) =>
  Effect.raceAllFirst([
    watchMembers(programs, tally, onProgress),
    ...Array.from(
      { length: writers },
      (_, place) =>
        watchPlace(programs, place, ({ process }, { code, output: printed }) =>
          new Astray({
            what: `program ${process} ended by itself, with ${code}:\n${printed}`
          }))
    )
  ])

/**
 * A member may give up, as after a fence by the one that was started in its place; its supervisor
 * starts it again, under a new number in the history.
 */
const watchMembers = (programs: Programs.Programs, tally: Figures.Tally, onProgress: Told) =>
  Effect.raceAllFirst(
    Array.from({ length: members }, (_, member) => {
      const place = writers + member
      return watchPlace(
        programs,
        place,
        ({ process }, { code, output: printed }) =>
          Effect.suspend(() => {
            onProgress(`member ${process} of the pipeline ended with ${code}: ${printed.trim()}`)
            tally.restarts += 1
            return programs.start(place)
          })
      )
    })
  )

/** Does something each time that a program ends by itself, and no other has taken its place. */
const watchPlace = <E>(
  programs: Programs.Programs,
  place: number,
  onEnd: (
    program: Programs.Program,
    ended: Effect.Success<Programs.Program["ended"]>
  ) => Effect.Effect<unknown, E>
): Effect.Effect<never, E> =>
  Effect.gen(function*() {
    for (;;) {
      const program = programs.at(place)
      const ended = yield* program.ended
      // The one that took its place may have been started meanwhile.
      yield* Effect.sleep(restartPause)
      if (programs.at(place) === program) yield* onEnd(program, ended)
    }
  })

const end = ({ ended, process, signal }: Programs.Program) =>
  Effect.andThen(signal("SIGTERM"), ended).pipe(
    Effect.timeoutOrElse({
      duration: endLimit,
      orElse: () =>
        Effect.fail(new Astray({ what: `program ${process} did not end within ${endLimit}` }))
    }),
    Effect.flatMap(({ code, output }) =>
      code === 0 || code === 130
        ? Effect.void
        : Effect.fail(new Astray({ what: `program ${process} ended with ${code}:\n${output}` }))
    )
  )
