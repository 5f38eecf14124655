/**
 * A program dies, is asked to end, or sleeps through its transaction's timeout, at each step of a
 * transaction: nothing of it is torn, what it was told is true, and the next instance with its
 * transactional id goes on at once.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type { Capabilities } from "@kafka-once/core/KafkaDriver"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import type * as AppProgram from "./AppProgram.ts"
import { gate, held, type Moment, momentsOf } from "./internal/appMoments.ts"
import * as AppProcess from "./internal/appProcess.ts"
import * as ToldAndVisible from "./internal/toldAndVisible.ts"
import * as LogReader from "./LogReader.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/** A transaction that is open is ended by the next instance, and not by this timeout. */
const longTimeoutMillis = 60_000

/** From the start of its InitProducerId to the first commit of the next instance. */
const takeOverMillisMax = 3_000

/** From the signal to the end of the process. */
const exitMillisMax = 10_000

/**
 * What is run.
 *
 * **Details**
 *
 * - *Shape*: `program` is a file that is one line around `AppProgram.run`. `extent` is how much of
 *   it. `capabilities` are the driver's, on which three things depend. With version 2 of the
 *   transaction protocol a Produce registers its partition itself. With `commitRetry` a commit that
 *   is late is sent again. With `epochBump` an instance that wakes after its timeout asks before it
 *   takes its transactional id, is told that it was replaced, and touches nothing. Without it, it
 *   takes the id back from the one that replaced it, which is told so.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly program: string
  readonly extent: "smoke" | "all"
  readonly capabilities: Capabilities
}

/**
 * Runs the suite over a program, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, options: Options): void => {
  layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `a program that dies, ends or sleeps, over ${name}`,
    (it) => {
      killed(it, options)
      ended(it, options)
      if (options.extent === "all") frozen(it, options)
    }
  )
}

const chosen = ({ capabilities, extent }: Options): ReadonlyArray<Moment> =>
  momentsOf(capabilities).filter(({ smoke, version }) =>
    (extent === "all" || smoke === true) &&
    (version === undefined || version === capabilities.transactionVersion)
  )

interface Bench {
  readonly plan: AppProgram.Plan
  readonly values: ReadonlyArray<string>
}

const makeBench = Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const proxy = yield* ProxiedKafka.Proxy
  const id = randomUUID().slice(0, 8)
  const values = ["one", "two", "three"]
  yield* kafka.createTopic(`topic-${id}`)
  return {
    values,
    plan: {
      addresses: proxy.addresses,
      topic: `topic-${id}`,
      transactionalId: `id-${id}`,
      transactionTimeoutMillis: longTimeoutMillis,
      hasty: false,
      values,
      again: [],
      waitAt: null
    }
  } satisfies Bench
})

/** Runs a program until it has come to the moment; there it stays. */
const startUntil = Effect.fnUntraced(function*(
  program: string,
  { plan }: Bench,
  { at }: Pick<Moment, "at">
) {
  const proxy = yield* ProxiedKafka.Proxy
  if (typeof at === "string") {
    const app = yield* AppProcess.start(program, { ...plan, waitAt: at })
    yield* app.told(at)
    return app
  }
  const rule = yield* proxy.inject(at(plan.transactionalId))
  const app = yield* AppProcess.start(program, plan)
  // Its end is no such moment; then it tells why.
  yield* Effect.raceFirst(rule.fired, Effect.andThen(app.ended, app.told(rule.name)))
  return app
})

const release = Effect.flatMap(ProxiedKafka.Proxy, (proxy) => proxy.release(gate))

/** Waits until the broker knows as many open transactions of the id. */
const awaitOpen = (bench: Bench, count: number) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const open = yield* LogReader.openTransactions(kafka, bench.plan.transactionalId).pipe(
      Effect.repeat({
        until: (open) => open.length === count,
        schedule: Schedule.spaced("20 millis"),
        times: 500
      })
    )
    assert.lengthOf(open, count, "open transactions")
  })

/** What is in the topic is what was told, and nothing is open. */
const assertTrue = Effect.fnUntraced(function*(
  bench: Bench,
  written: ReadonlyArray<ToldAndVisible.Written>
) {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const logs = yield* LogReader.readSettled(kafka, bench.plan.topic)
  assert.deepStrictEqual(ToldAndVisible.contradictions(written, logs), [])
  yield* awaitOpen(bench, 0)
})

const killed = (it: It, options: Options): void => {
  const { program } = options
  it.effect.each(chosen(options))(
    "SIGKILL when $step: the next instance ends what is open, and goes on at once",
    (moment) =>
      Effect.gen(function*() {
        const bench = yield* makeBench
        const app = yield* startUntil(program, bench, moment)
        yield* app.signal("SIGKILL")
        assert.deepStrictEqual(yield* app.ended, { code: null, signal: "SIGKILL" })
        if (moment.arrives === "before") yield* release
        yield* awaitOpen(bench, moment.isOpen ? 1 : 0)
        const next = ["four", "five"]
        const restarted = yield* AppProcess.start(program, { ...bench.plan, values: next })
        const millis = Number(yield* restarted.told("committed"))
        assert.deepStrictEqual(yield* restarted.ended, { code: 0, signal: null })
        if (moment.arrives === "after") yield* release
        yield* assertTrue(bench, [
          { values: bench.values, told: moment.told },
          { values: next, told: "committed" }
        ])
        assert.isBelow(millis, takeOverMillisMax)
        yield* Effect.log(`SIGKILL when ${moment.step}: taken over within ${millis} ms`)
      }),
    120_000
  )
}

/**
 * What is kept on its way arrives when the signal has come, or never where it is late: then the
 * program has to end without it.
 */
const ended = (it: It, options: Options): void => {
  const { program } = options
  it.effect.each(chosen(options))(
    "SIGTERM when $step: it settles, and ends within 10 s",
    (moment) =>
      Effect.gen(function*() {
        const bench = yield* makeBench
        const app = yield* startUntil(program, bench, moment)
        const from = yield* Clock.currentTimeMillis
        yield* app.signal("SIGTERM")
        yield* app.told("SIGTERM")
        if (moment.arrives === "before") yield* release
        assert.deepStrictEqual(yield* app.ended, { code: 130, signal: null })
        const millis = (yield* Clock.currentTimeMillis) - from
        yield* awaitOpen(bench, 0)
        if (moment.arrives === "after") yield* release
        const told = moment.settles ?? moment.told
        yield* assertTrue(bench, [{ values: bench.values, told }])
        assert.isBelow(millis, exitMillisMax)
        yield* Effect.log(`SIGTERM when ${moment.step}: ended within ${millis} ms`)
      }),
    120_000
  )
}

interface Sleep extends Pick<Moment, "step" | "at"> {
  readonly wakesTo: ReadonlyArray<string>
  /** The same where the driver asks who has the transactional id. */
  readonly asksTo: string
}

const late = ["ProducerFenced", "TransactionTimedOut"]

const sleeps: ReadonlyArray<Sleep> = [
  {
    step: "before its first send",
    at: "begun",
    wakesTo: late,
    // What the body failed with stays; whoever begins again is told of the fence.
    asksTo: "TransactionTimedOut"
  },
  {
    step: "between its sends and its commit",
    at: "last acked",
    wakesTo: late,
    asksTo: "TransactionTimedOut"
  },
  // What became of a commit without an answer is asked for, and then proven.
  {
    step: "with its commit on its way",
    at: held("EndTxn"),
    wakesTo: [...late, "CommitRefused"],
    asksTo: "ProducerFenced"
  }
]

const shortTimeoutMillis = 3_000

const frozen = (it: It, { capabilities, program }: Options): void => {
  it.effect.each(sleeps)(
    "frozen $step, past its timeout, and replaced: when it wakes, nothing of it is visible",
    (moment) =>
      Effect.gen(function*() {
        const short = { transactionTimeoutMillis: shortTimeoutMillis, hasty: true }
        const made = yield* makeBench
        const bench = { ...made, plan: { ...made.plan, ...short } }
        const zombie = yield* startUntil(program, bench, moment)
        yield* zombie.signal("SIGSTOP")
        // This is the fault: no event ends it.
        yield* Effect.sleep(shortTimeoutMillis + 500)
        yield* awaitOpen(bench, 0)
        const replacement = yield* AppProcess.start(program, {
          ...bench.plan,
          values: ["four"],
          again: ["five"],
          waitAt: "committed"
        })
        yield* replacement.told("committed")
        assert.notInclude((yield* zombie.lines).join(), "failed", "it was to be asleep")
        if (typeof moment.at === "string") yield* zombie.goOn
        else yield* release
        yield* zombie.signal("SIGCONT")
        const failure = yield* zombie.told("failed")
        yield* zombie.ended
        const { epochBump } = capabilities
        assert.include(epochBump ? [moment.asksTo] : moment.wakesTo, failure)
        yield* replacement.goOn
        yield* replacement.ended
        const last = (yield* replacement.lines).at(-1) ?? ""
        const goesOn = last.startsWith("again")
        if (!goesOn) assert.strictEqual(last, "failed ProducerFenced")
        assert.isTrue(goesOn || !epochBump, last)
        yield* assertTrue(bench, [
          { values: bench.values, told: "aborted" },
          { values: ["four"], told: "committed" },
          { values: ["five"], told: goesOn ? "committed" : "aborted" }
        ])
        yield* Effect.log(`frozen ${moment.step}: ended with ${failure}; the other: ${last}`)
      }),
    120_000
  )
}
