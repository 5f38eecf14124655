/**
 * One case of the consumers' rows: a program that reads a topic, a fault in it, and what became of
 * every record.
 *
 * @since 0.1.0
 */
import * as Consumer from "@kafka-once/core/Consumer"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { isKafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import type { FaultProxy } from "@kafka-once/testing/FaultProxy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import * as Steps from "../DriverSteps.ts"
import * as LogReader from "../LogReader.ts"
import * as Lanes from "../wireMatrix/Lanes.ts"
import { type DriverThrough, linesOf } from "../wireMatrix/Stage.ts"
import { type Case, expectationOf, type Row, ruleOf } from "./Row.ts"

/**
 * What a case has shown: `problems` is empty where everything is as expected, and `wire` has a line
 * for each request of the program.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly problems: ReadonlyArray<string>
  readonly wire: ReadonlyArray<string>
}

const requestTimeoutMillis = 500
const partitions = [0, 1] as const
const text = new TextDecoder()

/** The broker allows no shorter session; of a member that has vanished a group waits for it. */
const consumerTimes = {
  requestTimeout: requestTimeoutMillis,
  connectTimeout: "20 seconds",
  sessionTimeout: "6 seconds",
  rebalanceTimeout: "10 seconds",
  fetchWait: "50 millis"
} as const

const classicTimes = { ...consumerTimes, heartbeatInterval: "200 millis" } as const

const producerTimes = {
  transactionTimeout: "5 seconds",
  requestTimeout: requestTimeoutMillis,
  deliveryTimeout: "2 seconds",
  drainTimeout: "2 seconds",
  commitTimeout: "2 seconds",
  abortTimeout: "2 seconds",
  resolveTimeout: "5 seconds"
} as const

interface Place {
  readonly row: Row
  readonly kafka: EmbeddedKafka.EmbeddedKafka["Service"]
  readonly input: string
  readonly output: string
  readonly groupId: string
  /** Everything that was written. */
  readonly written: Array<string>
  /** What a plain consumer was given. */
  readonly seen: Array<string>
}

/**
 * Runs a case.
 *
 * @category operations
 * @since 0.1.0
 */
export const run = (
  one: Case,
  driverThrough: DriverThrough
): Effect.Effect<Report, unknown, Lanes.Lanes | EmbeddedKafka.EmbeddedKafka> =>
  Effect.scoped(Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* (yield* Lanes.Lanes).take("plaintext")
    const id = randomUUID().slice(0, 8)
    const clientId = `client-${id}`
    const place: Place = {
      row: one.row,
      kafka,
      input: `in-${id}`,
      output: `out-${id}`,
      groupId: `group-${id}`,
      written: [],
      seen: []
    }
    yield* kafka.createTopic(place.input, { partitions: partitions.length })
    yield* kafka.createTopic(place.output)
    const driver = (addresses: ReadonlyArray<string>, name: string) =>
      driverThrough({ addresses, clientId: name, requestTimeoutMillis, credentials: null })
    const writing = yield* Layer.build(driver(kafka.bootstrapServers, `writer-${id}`))
    const { session: writer } = yield* Effect.provideContext(Steps.open(`writer-${id}`), writing)
    const write = (value: string) =>
      Effect.andThen(
        Steps.transact(
          writer,
          partitions.map((partition) =>
            Steps.batch(place.input, partition, `${value}${partition}`)
          ),
          "commit"
        ),
        Effect.sync(() => place.written.push(...partitions.map((partition) => value + partition)))
      )
    const problems: Array<string> = []
    const through = driver([`${proxy.host}:${proxy.port}`], clientId)
    yield* Effect.provide(play(place, one, proxy, clientId, write, problems), through)
    yield* proxy.connections.awaitOpen(0).pipe(
      Effect.timeoutOrElse({
        duration: "3 seconds",
        orElse: () =>
          Effect.map(
            proxy.connections.open,
            (open) =>
              problems.push(`left open: ${[...open].map(([name, count]) => `${count} of ${name}`)}`)
          )
      })
    )
    const entries = yield* proxy.log.entries
    return {
      problems,
      wire: linesOf(entries.filter((entry) => entry.clientId === clientId))
    }
  }))

const play = (
  place: Place,
  one: Case,
  proxy: FaultProxy,
  clientId: string,
  write: (value: string) => Effect.Effect<unknown, unknown>,
  problems: Array<string>
): Effect.Effect<void, unknown, KafkaDriver | Scope.Scope> =>
  Effect.gen(function*() {
    const { at } = one.row
    yield* write("a")
    const inject = proxy.inject(ruleOf(one, clientId))
    let injected = at === "start" ? yield* inject : null
    const program = yield* start(place)
    if (at === "idle") {
      yield* whileRuns(program, awaitDone(place))
      injected = yield* inject
    }
    if (injected !== null) {
      yield* whileRuns(program, until(injected.hits, (hits) => hits >= one.hits))
    }
    // What comes in after the fault has to come out, too.
    yield* write("b")
    yield* whileRuns(program, awaitDone(place))
    injected ??= yield* inject
    const [closing, ended] = yield* Effect.timed(program.close)
    if (Duration.toMillis(closing) > longestCloseMillis) problems.push("it took long to close")
    const expected = expectationOf(one)
    const wanted = expected === "goes on" ? "goes on" : `ends: ${expected.ends}`
    if (ended !== wanted) problems.push(`it "${ended}" in place of "${wanted}"`)
    const hits = yield* injected.hits
    if (hits !== one.hits) problems.push(`the fault happened ${hits} times`)
    if (expected !== "goes on") {
      const [out, all] = [yield* outOf(place), new Set(place.written)]
      if (new Set(out).size < out.length || !out.every((value) => all.has(value))) {
        problems.push(`it ended, and left ${out.join()}`)
      }
      // What was wrong is put right, and the program is started again.
      const again = yield* start(place)
      yield* whileRuns(again, awaitDone(place))
      problems.push(...((yield* again.close) === "goes on" ? [] : ["it ends once more"]))
    }
    problems.push(...yield* truth(place))
  })

const longestCloseMillis = 8_000

interface Program {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  /** Ends it, and tells how it was until then. */
  readonly close: Effect.Effect<string>
}

/** Runs the program of a row until it is closed. */
const start = (place: Place): Effect.Effect<Program, never, KafkaDriver | Scope.Scope> =>
  Effect.map(
    Effect.forkScoped(place.row.program === "pipeline" ? pipeline(place) : consumer(place)),
    (fiber): Program => ({
      fiber,
      close: Effect.suspend(() => {
        const ended = fiber.pollUnsafe()
        return Effect.andThen(
          Fiber.interrupt(fiber),
          Effect.map(
            Fiber.await(fiber),
            (exit) => ended === undefined && Exit.hasInterrupts(exit) ? "goes on" : howIt(exit)
          )
        )
      })
    })
  )

const howIt = (exit: Exit.Exit<unknown, unknown>): string => {
  const error = Option.getOrNull(Exit.findErrorOption(exit))
  return isKafkaError(error) ? `ends: ${error.reason._tag}` : `ends with ${String(exit)}`
}

const pipeline = ({ groupId, input, output, row: { groupProtocol } }: Place) =>
  ExactlyOnce.run({
    groupId,
    input: Topic.make({ name: input, key: Topic.text, value: Topic.text }),
    process: ExactlyOnce.eachRecord<string | null, string | null, never, never>(({ value }) =>
      Effect.succeed([{ topic: output, value }])
    ),
    consumer: groupProtocol === "classic"
      ? classicTimes
      : { ...consumerTimes, groupProtocol: "consumer" },
    producer: producerTimes
  })

/** Commits what it was given; what that is it notes in the place of an output. */
const consumer = ({ groupId, input, seen }: Place) =>
  Effect.scoped(Effect.gen(function*() {
    const member = yield* Consumer.make({ ...classicTimes, groupId, topics: [input] })
    yield* Stream.runForEach(member.batches, ({ offsets, records }) => {
      seen.push(...records.map(({ value }) => text.decode(value ?? undefined)))
      return member.commit(offsets)
    })
  }))

const until = <A, E>(question: Effect.Effect<A, E>, fits: (answer: A) => boolean) =>
  Effect.repeat(question, { until: fits, schedule: Schedule.spaced("20 millis") })

/** Waits for something, or for the end of the program; not for ever. */
const whileRuns = <E>({ fiber }: Program, wait: Effect.Effect<unknown, E>) =>
  Effect.timeoutOption(
    Effect.raceFirst(Effect.asVoid(wait), Effect.asVoid(Fiber.await(fiber))),
    longestWait
  )

// More than the session that a group waits for, twice.
const longestWait = "20 seconds"

/** What has come out, each as often as it did. */
const outOf = ({ kafka, output, row: { program }, seen }: Place) =>
  program === "pipeline"
    ? Effect.map(LogReader.visibleValues(kafka, output), (values) => [...values])
    : Effect.succeed(seen)

/** Whether the group has everything behind it: each write left a record and a marker. */
const isAtEnd = ({ groupId, kafka, written }: Place) =>
  Effect.gen(function*() {
    const committed = yield* LogReader.committedOffsets(kafka, groupId)
    const end = BigInt(2 * written.length / partitions.length - 1)
    return partitions.every((partition) =>
      committed.some(({ offset, partition: of }) =>
        // What is committed may stand before the last marker or behind it.
        of === partition && (offset === end || offset === end + 1n)
      )
    )
    // While a transaction has positions pending the broker answers none.
  }).pipe(Effect.orElseSucceed(() => false))

const awaitDone = (place: Place) => until(isAtEnd(place), (isDone) => isDone)

/** A pipeline copies each record once; one that commits afterwards is given it at least once. */
const truth = (place: Place) =>
  Effect.gen(function*() {
    const out = yield* outOf(place)
    const got = (place.row.program === "pipeline" ? out : [...new Set(out)]).toSorted()
    const same = JSON.stringify(got) === JSON.stringify(place.written.toSorted())
    return [
      ...same ? [] : [`it made ${got.join()} of ${place.written.join()}`],
      ...(yield* isAtEnd(place)) ? [] : ["the group is not at the end"]
    ]
  })
