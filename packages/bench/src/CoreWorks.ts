/**
 * The works of the core alone, over a driver that does nothing: transactions a second on one core,
 * the cost of each part, and memory.
 *
 * A part that can be switched off is measured by switching it off: spans by the tracer, events by
 * taking their subscriber away, the send by not sending. Deadlines and metrics cannot, so they are
 * measured where they can be left out, in a bracket built by hand.
 *
 * "Everything on" has a tracer of its own, which makes every span and keeps none, as a program has
 * that exports its spans.
 */
import type { DriverError } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { Length } from "./Arguments.ts"
import type { Line } from "./Figure.ts"
import * as Figure from "./Figure.ts"
import * as HandBuilt from "./HandBuilt.ts"
import * as NullDriver from "./NullDriver.ts"
import * as Records from "./Records.ts"
import * as Rounds from "./Rounds.ts"

// Of processor time: a core that other programs take meanwhile is not the library's.
const unit = "transactions/s"
const topic = "null"
const work = "core alone"

const names = {
  all: "bracket, everything on",
  scope: "scope, everything on",
  defaultTracer: "bracket, Effect's default tracer",
  noTracer: "bracket, tracer off",
  noSubscriber: "bracket, nobody listens to events",
  empty: "bracket, nothing sent",
  later: "bracket, driver answers later",
  laterNoTracer: "bracket, driver answers later, tracer off"
}

const stageName = (stage: HandBuilt.Stage): string =>
  stage === "bare" ? "by hand, bare bracket" : `by hand, with ${stage} too`

const makeProducer = (answers: NullDriver.Answers, transactionalId: string) =>
  TransactionalProducer.make({ transactionalId }).pipe(Effect.provide(NullDriver.layer(answers)))

const listen = (producer: TransactionalProducer.TransactionalProducer["Service"]) =>
  Effect.forkScoped(Stream.runDrain(producer.events), { startImmediately: true })

type Around = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
const traced: Around = Effect.withTracer(tracer)
const untraced: Around = Effect.withTracerEnabled(false)

const makeContenders = (count: number) =>
  Effect.gen(function*() {
    const { ours: records } = Records.make(topic, 1)
    const producer = yield* makeProducer("at once", "core")
    const later = yield* makeProducer("later", "core-later")
    const quiet = yield* makeProducer("at once", "core-quiet")
    yield* listen(producer)
    yield* listen(later)
    const byHand = yield* HandBuilt.make.pipe(Effect.provide(NullDriver.layer("at once")))
    const bracket = (of: typeof producer) => of.withTransaction(Transaction.send(records))
    const scope = Effect.scoped(
      Effect.flatMap(producer.begin(), (transaction) => transaction.send(records))
    )
    const contender = <A>(
      name: string,
      one: Effect.Effect<A, KafkaError | DriverError>,
      around: Around = traced
    ): Rounds.Contender<KafkaError | DriverError> => ({
      name,
      count,
      run: (count) => around(Effect.asVoid(Effect.repeat(one, { times: count - 1 })))
    })
    return [
      contender(names.all, bracket(producer)),
      contender(names.scope, scope),
      contender(names.defaultTracer, bracket(producer), (effect) => effect),
      contender(names.noTracer, bracket(producer), untraced),
      contender(names.noSubscriber, bracket(quiet)),
      contender(names.empty, producer.withTransaction(Effect.void)),
      contender(names.later, bracket(later)),
      contender(names.laterNoTracer, bracket(later), untraced),
      ...HandBuilt.stages.map((stage) => contender(stageName(stage), byHand(stage)))
    ]
  })

/** How long the core is measured: rounds of so many transactions a contender. */
export interface Course {
  readonly transactions: number
  readonly rounds: number
  readonly warmUpRounds: number
}

/** The course of a run. */
export const courseOf = (length: Length): Course =>
  length === "short"
    ? { transactions: 1_500, rounds: 5, warmUpRounds: 2 }
    : { transactions: 3_000, rounds: 15, warmUpRounds: 2 }

/** Transactions a second, and what each part costs. */
export const speed = ({ rounds, transactions, warmUpRounds }: Course) =>
  Effect.scoped(Effect.gen(function*() {
    const rates = yield* Rounds.run({
      work,
      seconds: Rounds.processorSeconds,
      contenders: yield* makeContenders(transactions),
      rounds,
      warmUpRounds
    })
    const goals = new Map<string, Figure.Goal>([
      [names.all, { is: "at least", value: 10_000 }],
      [names.scope, { is: "at least", value: 10_000 }],
      [names.noTracer, { is: "at least", value: 20_000 }]
    ])
    const cost = (name: string, of: string, without: string): Line => ({
      figure: Rounds.cost(rates, name, { of, without }),
      goal: null
    })
    const lines: ReadonlyArray<Line> = [
      ...[...rates.byContender.keys()].map((name) => ({
        figure: Rounds.figure(rates, name, unit),
        goal: goals.get(name) ?? null
      })),
      cost("cost of the spans (tracer on, off)", names.all, names.noTracer),
      cost("cost of an event (heard, unheard)", names.all, names.noSubscriber),
      cost("cost of one send and its commit", names.all, names.empty),
      ...HandBuilt.stages.slice(1).map((stage, before) =>
        cost(
          `cost of the ${stage}, by hand`,
          stageName(stage),
          stageName(HandBuilt.stages[before]!)
        )
      ),
      cost("cost of the library beyond all parts by hand", names.all, stageName("spans"))
    ]
    return lines
  }))

// Twelve bytes is the smallest object that V8 keeps: nothing of a transaction may stay.
const maxGrowthBytes = 8

const steps = 10

/** How many transactions memory is measured over, in each of ten steps. */
export const stepOf = (length: Length): number =>
  length === "long" ? 100_000 : length === "short" ? 5_000 : 10_000

/** What stays in memory, after a full collection at each of ten steps. */
export const memory = (step: number, collect: () => void) =>
  Effect.scoped(Effect.gen(function*() {
    const { ours: records } = Records.make(topic, 1)
    const producer = yield* makeProducer("at once", "memory")
    yield* listen(producer)
    const run = Effect.repeat(producer.withTransaction(Transaction.send(records)), {
      times: step - 1
    })
    const used: Array<number> = []
    for (let i = 0; i <= steps; i++) {
      yield* run
      collect()
      // The first step fills caches and compiles code.
      if (i > 0) used.push(process.memoryUsage().heapUsed)
    }
    const about = { work: `memory, ${(steps * step).toLocaleString("en-US")} transactions` }
    const growth = used.slice(1).map((bytes, index) => (bytes - used[0]!) / ((index + 1) * step))
    const lines: ReadonlyArray<Line> = [
      {
        figure: Figure.make(
          { ...about, contender: "heap after each tenth", unit: "MB" },
          used.map((bytes) => bytes / 1e6)
        ),
        goal: null
      },
      {
        figure: Figure.make(
          { ...about, contender: "growth", unit: "bytes/transaction" },
          growth.slice(-1)
        ),
        goal: { is: "at most", value: maxGrowthBytes }
      }
    ]
    return lines
  }))
