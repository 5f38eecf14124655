/**
 * One case on the wire: three transactions, a fault in the second, and what became of everything.
 *
 * @since 0.1.0
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { isKafkaError, type KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import type * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as ClosedEpochs from "../internal/closedEpochs.ts"
import { type Case, type DriverName, ruleOf } from "./Case.ts"
import * as Expectation from "./Expectation.ts"
import type { Lanes } from "./Lanes.ts"
import * as Runs from "./Runs.ts"
import * as Sections from "./Sections.ts"
import * as Stage from "./Stage.ts"
import * as Truth from "./Truth.ts"

/**
 * What a case has shown.
 *
 * **Details**
 *
 * *Shape*: `problems` is empty where everything is as expected. `wire` has a line for each request
 * of the case, and is what to read first where it is not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly problems: ReadonlyArray<string>
  readonly wire: ReadonlyArray<string>
}

/** From the faulted transaction's begin to the next one's end. */
const longestMillis = 8_000

/**
 * Runs a case.
 *
 * @category operations
 * @since 0.1.0
 */
export const run = (
  one: Case,
  driverName: DriverName,
  driverThrough: Stage.DriverThrough
): Effect.Effect<Report, unknown, Lanes | EmbeddedKafka.EmbeddedKafka> =>
  Effect.scoped(Effect.gen(function*() {
    const stage = yield* Stage.make(one.row, driverThrough)
    const problems: Array<string> = []
    yield* play(stage, one, driverName, problems)
    const entries = yield* stage.entries
    for (const api of new Set(entries.map(({ api }) => api))) {
      if (!Sections.apis.has(api)) problems.push(`${api} is on the wire, and has no row`)
    }
    return { problems, wire: Stage.linesOf(entries) }
  }))

interface Fault {
  /** Completes when the late frame has been answered; at once where none is late. */
  readonly lateAnswered: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  readonly hits: Effect.Effect<number>
  /** The faulted transaction has settled: what led to the fault is over. */
  readonly settled: Effect.Effect<void>
  readonly end: Effect.Effect<void>
}

const inject = Effect.fnUntraced(function*(
  { clientId, entries, options, proxy }: Stage.Stage,
  one: Case,
  driverName: DriverName,
  problems: Array<string>
) {
  const scope = yield* Scope.make()
  const before = yield* Scope.make()
  const { transactionalId } = options
  if (one.row.before === "lost commit") {
    // Of every attempt, where the driver repeats it.
    const match = { api: "EndTxn", commit: true, transactionalId } as const
    yield* Scope.provide(proxy.inject(FaultProxyRule.dropResponse(match)), before)
  }
  const rule = ruleOf(one, driverName, { clientId, transactionalId })
  const injected = yield* Scope.provide(proxy.inject(rule), scope)
  const isLate = one.action === "delay" || one.action === "hold"
  const late = Effect.map(
    entries,
    (all) => all.some(({ answer, rule: acted }) => acted === injected.name && answer !== null)
  )
  const fault: Fault = {
    lateAnswered: isLate
      ? Effect.repeat(late, {
        until: (answered) => answered,
        schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 150 }))
      }).pipe(Effect.map((answered) => {
        if (!answered) problems.push("what came late was not answered")
      }))
      : Effect.void,
    release: one.action === "hold"
      ? Effect.catch(
        Effect.asVoid(proxy.release(clientId)),
        (error) => Effect.sync(() => problems.push(error.message))
      )
      : Effect.void,
    hits: injected.hits,
    settled: Scope.close(before, Exit.void),
    end: Effect.suspend(() => Scope.close(scope, Exit.void))
  }
  return fault
})

const play = (
  stage: Stage.Stage,
  one: Case,
  driverName: DriverName,
  problems: Array<string>
): Effect.Effect<void, unknown, EmbeddedKafka.EmbeddedKafka> =>
  Effect.gen(function*() {
    const expected = one.expected[driverName]
    if (expected === null) return void problems.push(`it cannot happen over ${driverName}`)
    const closed = makeClosed(stage, registrations[driverName])
    const before = Effect.gen(function*() {
      yield* closed.open
      const first = yield* Runs.open(stage)
      problems.push(...shouldCommit("T1", first, (yield* runOn(stage, first, "T1")).runs))
      yield* Truth.awaitComplete(stage)
      yield* closed.afterRun
      return first
    })
    if (one.row.isFresh) {
      const ended = Effect.flatMap(before, ({ close }) => Effect.andThen(close, closed.afterLast))
      yield* Effect.provide(ended, stage.driver)
    }
    yield* playFaulted(stage, one, driverName, expected, closed, problems, before).pipe(
      Effect.provide(stage.driver)
    )
  })

/** What makes a partition part of a transaction. */
const registrations = {
  kafkajs: "AddPartitionsToTxn",
  platformatic: "Produce"
} as const satisfies Record<DriverName, ClosedEpochs.Registration>

const playFaulted = (
  stage: Stage.Stage,
  one: Case,
  driverName: DriverName,
  expected: Expectation.Expectation,
  closed: Closed,
  problems: Array<string>,
  before: Effect.Effect<Runs.Opened, unknown, KafkaDriver | EmbeddedKafka.EmbeddedKafka>
): Effect.Effect<void, unknown, KafkaDriver | EmbeddedKafka.EmbeddedKafka> =>
  Effect.gen(function*() {
    const { isFresh, work } = one.row
    const first = isFresh ? null : yield* before
    const startedAt = yield* Clock.currentTimeMillis
    const fault = yield* inject(stage, one, driverName, problems)
    if (isFresh) yield* closed.open
    const opened = first ?? (yield* Runs.open(stage))
    let isLate = isFresh
    const late = Effect.suspend(() => {
      if (!isLate) return Effect.void
      isLate = false
      return Effect.andThen(fault.release, fault.lateAnswered)
    })
    const { refused, runs } = opened.producer === null
      ? { refused: opened.error, runs: [] }
      : yield* Runs.transact(stage, opened.producer, "T2", work, {
        // A fault that is there always is there in the first run.
        onRun: (run) => run > 1 && one.occurrence === "always" ? fault.end : Effect.void,
        between: late,
        onSettled: closed.afterRun
      })
    yield* fault.settled
    if (one.occurrence === "always") yield* fault.end

    const hooks = isFresh ? {} : { between: fault.release }
    let next = opened.producer === null ? yield* reopen(stage, opened, closed) : opened
    let third = yield* runOn(stage, next, "T3", hooks)
    const then = Runs.reasonOf(third.refused)
    // One that is dead is replaced; one that has met no broker goes on when there is one.
    if (third.runs.length === 0) {
      next = yield* reopen(stage, opened, closed)
      third = yield* runOn(stage, next, "T3", hooks)
    }
    problems.push(...shouldCommit("T3", next, third.runs))
    yield* closed.afterRun
    const tookMillis = (yield* Clock.currentTimeMillis) - startedAt
    if (!isFresh) yield* fault.lateAnswered
    yield* Effect.andThen(next.close, closed.afterLast)
    yield* fault.end

    const observed = observe(refused, runs) + (then === null ? "" : `, then ${then}`)
    const wanted = Expectation.textOf(expected)
    if (observed !== wanted) {
      problems.push(`it is "${observed}" in place of "${wanted}"`, ...runs.map(describe))
      if (isKafkaError(refused)) problems.push(refused.message)
    }
    problems.push(...hitProblems(one, yield* fault.hits))
    problems.push(...runProblems(one, expected, runs))
    if (tookMillis > longestMillis) problems.push(`it took ${tookMillis} ms`)
    problems.push(...yield* closed.problems)
    problems.push(...yield* Truth.problems(stage, one.row, isCommitted(runs)))
    problems.push(...yield* laterProblems(stage, one, runs))
  })

const runOn = (
  stage: Stage.Stage,
  { producer }: Runs.Opened,
  name: string,
  hooks?: Runs.Hooks
): Effect.Effect<Runs.Transacted> =>
  producer === null
    ? Effect.succeed({ runs: [], refused: null })
    : Runs.transact(stage, producer, name, "records", hooks)

const reopen = (
  stage: Stage.Stage,
  opened: Runs.Opened,
  closed: Closed
): Effect.Effect<Runs.Opened, never, KafkaDriver> =>
  Effect.gen(function*() {
    yield* Effect.andThen(opened.close, closed.afterLast)
    yield* closed.open
    return yield* Runs.open(stage)
  })

const shouldCommit = (
  name: string,
  { error }: Runs.Opened,
  runs: ReadonlyArray<Runs.Run>
): ReadonlyArray<string> => {
  const [run, ...more] = runs
  if (run === undefined) return [`${name}: no producer: ${error?.message}`]
  return run.error === null && more.length === 0 && isAnswered(run)
    ? []
    : [`${name} should commit at once, but: ${runs.map(describe).join("; ")}`]
}

const isAnswered = ({ outcome }: Runs.Run): boolean =>
  outcome._tag === "Committed" && outcome.proof === "answer"

const describe = (run: Runs.Run): string =>
  `${run.outcome._tag}, ${isKafkaError(run.error) ? run.error.message : run.error ?? "no error"}`

/** The class of what happened, in the words of an expectation. */
const observe = (refused: Runs.Run["error"], runs: ReadonlyArray<Runs.Run>): string => {
  const last = runs.at(-1)
  if (last === undefined) return isKafkaError(refused) ? refusalText(refused) : "nothing"
  if (last.error === null) return observeSuccess(runs, last)
  if (last.outcome._tag === "Committed") return describe(last)
  if (last.outcome._tag === "Unknown") return "unknown"
  if (!isKafkaError(last.error)) return `aborted (${last.error})`
  const { reason, recovery } = last.error
  if (recovery === "abort") return `aborted (${reason._tag})`
  return recovery === "retry" ? `run again in vain (${reason._tag})` : `fatal (${reason._tag})`
}

const refusalText = ({ reason, recovery }: KafkaError): string =>
  recovery === "retry" || recovery === "abort"
    ? `not begun (${reason._tag})`
    : `fatal (${reason._tag})`

const observeSuccess = (runs: ReadonlyArray<Runs.Run>, last: Runs.Run): string => {
  const before = new Set(runs.slice(0, -1).map(observeAborted))
  if (before.size === 0) return isAnswered(last) ? "ok" : "resolved committed"
  return isAnswered(last) ? [...before].join(", then ") : "run again, then resolved committed"
}

const observeAborted = (run: Runs.Run): string => {
  if (run.outcome._tag !== "Aborted") return describe(run)
  const isTold = isKafkaError(run.error) && run.error.reason._tag === "CommitRefused" &&
    run.error.reason.last === "the log says aborted"
  return isTold ? "resolved aborted" : `run again (${Runs.reasonOf(run.error)})`
}

const isCommitted = (runs: ReadonlyArray<Runs.Run>): boolean | null => {
  const outcome = runs.at(-1)?.outcome
  return outcome?._tag === "Unknown" ? null : outcome?._tag === "Committed"
}

const hitProblems = ({ action, occurrence }: Case, hits: number): ReadonlyArray<string> => {
  const wanted = occurrence === "twice" ? 2 : 1
  // Where both are on one connection, the second is lost with the first.
  const isLostWithFirst = action === "mute" && occurrence === "twice" && hits === 1
  const isRight = occurrence === "always" ? hits >= wanted : hits === wanted || isLostWithFirst
  return isRight ? [] : [`the fault happened ${hits} times`]
}

const runProblems = (
  { occurrence }: Case,
  { kind }: Expectation.Expectation,
  runs: ReadonlyArray<Runs.Run>
): ReadonlyArray<string> => {
  const isRunAgain = kind === "run again" || kind === "resolved aborted"
  const faulted = occurrence === "twice" && isRunAgain ? 2 : 1
  const wanted = isRunAgain ? faulted + 1 : kind === "not begun" ? 0 : 1
  // Where making the producer is refused, nothing is run; the class tells the two apart.
  return runs.length === wanted || (kind === "fatal" && runs.length === 0)
    ? []
    : [`the body ran ${runs.length} times: ${runs.map(describe).join("; ")}`]
}

/** What was unknown is asked again, when the fault is over, and must be what the log says. */
const laterProblems = (
  stage: Stage.Stage,
  { row }: Case,
  runs: ReadonlyArray<Runs.Run>
): Effect.Effect<ReadonlyArray<string>, unknown, KafkaDriver | EmbeddedKafka.EmbeddedKafka> =>
  Effect.gen(function*() {
    const error = runs.at(-1)?.error ?? null
    if (!isKafkaError(error) || error.recovery !== "resolve") return []
    const later = yield* Transaction.resolve(error)
    return later._tag === "Unknown"
      ? ["it is unknown for good"]
      : yield* Truth.problems(stage, row, later._tag === "Committed")
  })

/** Looks for requests of a closed scope or producer in the wire log. */
const makeClosed = (
  { entries, options, proxy }: Stage.Stage,
  registersBy: ClosedEpochs.Registration
) => {
  const { transactionalId } = options
  const epochs = ClosedEpochs.make(registersBy)
  const note = (...steps: ReadonlyArray<"begin" | "close">) =>
    Effect.map(proxy.log.position, (position) => {
      for (const step of steps) epochs.note(transactionalId, step, position)
    })
  return {
    // The next run may begin at any time.
    afterRun: note("close", "begin"),
    afterLast: note("close"),
    open: note("begin"),
    problems: Effect.map(entries, (all) => {
      epochs.take(all.map(answered))
      return epochs.late.map((late) => `too late on the wire: ${late}`)
    })
  }
}

type Closed = ReturnType<typeof makeClosed>

/** An InitProducerId that was lost has no epoch to wait for. */
const answered = (entry: FaultProxyWireLog.Entry): FaultProxyWireLog.Entry =>
  entry.answer === null
    ? {
      ...entry,
      answer: {
        timeMillis: 0,
        errorCode: null,
        producerId: null,
        producerEpoch: null,
        delivered: false,
        synthetic: false
      }
    }
    : entry
