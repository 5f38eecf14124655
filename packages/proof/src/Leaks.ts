/**
 * What thousands of scopes leave behind, faults, failures, defects and interruptions among them:
 * nothing. No socket, no timer, no fiber, no memory, no open transaction, and nothing on the wire
 * of a scope that has closed.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as ClosedEpochs from "./internal/closedEpochs.ts"
import * as ProcessUse from "./internal/processUse.ts"
import * as LogReader from "./LogReader.ts"
import { type DriverAt, reasonOf, timeouts } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * How much is run.
 *
 * **Details**
 *
 * *Units and bounds*: `scopes` is the number of transactions, at least 1,000, so that every fault
 * happens. `seed` chooses the faults. `registersBy` is the request that makes a partition part of a
 * transaction; at version 2 of the transaction protocol that is Produce itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly scopes: number
  readonly seed: number
  readonly timeoutMillis: number
  readonly registersBy?: ClosedEpochs.Registration
}

const workers = 4
const topic = "leaks"

/** A producer is made again after so many scopes. */
const scopesPerProducer = 50

/** Between two looks at the wire, and what the log keeps: several times what comes between two. */
const scopesPerLook = 25
const logEntries = 500

/** After so many scopes a worker stands still, so that what is late has time to come. */
const scopesPerPause = 40

const faultsOf = ({ registersBy = "AddPartitionsToTxn" }: Options) => [
  FaultProxyRule.dropResponse({ api: "Produce", probability: 0.01 }),
  FaultProxyRule.dropRequest({ api: "Produce", probability: 0.01 }),
  FaultProxyRule.resetAfter({ api: "Produce", probability: 0.01 }),
  FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, probability: 0.01 }),
  FaultProxyRule.dropRequest({ api: "EndTxn", commit: true, probability: 0.01 }),
  FaultProxyRule.resetBefore({ api: "EndTxn", commit: false, probability: 0.05 }),
  // At version 2 the leader asks the coordinator, and says "too few replicas" where it cannot.
  registersBy === "Produce"
    ? FaultProxyRule.error({ api: registersBy, probability: 0.01 }, "NOT_ENOUGH_REPLICAS")
    : FaultProxyRule.error({ api: registersBy, probability: 0.01 }, "NOT_COORDINATOR")
]

/**
 * Runs the suite over a driver, in a file of its own: what a process holds is the whole process's.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt, options: Options): void => {
  const proxy = { entriesMax: logEntries, seed: options.seed }
  layer(Layer.fresh(ProxiedKafka.layer({}, proxy)), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`what is left behind, over ${name}, seed ${options.seed}`, (it) => {
    it.effect(
      `${options.scopes} scopes with faults among them leave nothing behind`,
      () => leaveNothing(driver, options),
      options.timeoutMillis
    )
  })
}

const leaveNothing = (driverAt: DriverAt, options: Options) =>
  Effect.gen(function*() {
    const { scopes } = options
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* ProxiedKafka.Proxy
    yield* kafka.createTopic(topic, { partitions: workers })
    const before = yield* ProcessUse.sockets
    const timersLeft = yield* ProcessUse.watchTimers
    const fibers = ProcessUse.countFibers()
    const run: Run = {
      told: new Uint8Array(scopes),
      epochs: ClosedEpochs.make(options.registersBy ?? "AddPartitionsToTxn"),
      heaps: []
    }

    yield* Effect.gen(function*() {
      for (const fault of faultsOf(options)) yield* proxy.inject(fault)
      yield* Effect.forEach(
        Array.from({ length: workers }, (_, worker) => worker),
        (worker) => work(run, driverAt([`${proxy.host}:${proxy.port}`]), worker, scopes),
        { concurrency: workers }
      )
    }).pipe(fibers.within, Effect.scoped, Effect.provide(Logger.layer([])))

    yield* proxy.connections.awaitOpen(0).pipe(Effect.timeout("5 seconds"))
    run.epochs.take(yield* proxy.log.entries)
    assert.deepStrictEqual(run.epochs.late, [])
    assert.strictEqual(run.epochs.seen.missed, 0)
    // Produce and EndTxn, and the registration where it is a request of its own.
    assert.isAbove(run.epochs.seen.taken, scopes * (options.registersBy === "Produce" ? 2 : 3))
    assert.deepStrictEqual(yield* LogReader.openTransactions(kafka), [])
    assert.isAbove(fibers.count.started, scopes)
    yield* settled(
      Effect.sync(() => fibers.count.started - fibers.count.ended),
      (left) => left === 0
    )
    yield* settled(
      Effect.map(ProcessUse.sockets, (now) => ProcessUse.more(now, before)),
      (left) => left.length === 0
    )
    yield* settled(timersLeft, (left) => left.length === 0)
    assertFlat(run.heaps, scopes)
    yield* assertTruth(run.told)
  }).pipe(Effect.scoped)

interface Run {
  /** What the program was told of each scope: see {@link tell}. */
  readonly told: Uint8Array
  readonly epochs: ClosedEpochs.ClosedEpochs
  readonly heaps: Array<number>
}

/** Every `workers`-th scope, with a producer that is made again now and then. */
const work = (
  run: Run,
  driver: Layer.Layer<KafkaDriver, { readonly message: string }>,
  worker: number,
  scopes: number
) =>
  Effect.gen(function*() {
    const { log } = yield* ProxiedKafka.Proxy
    const transactionalId = `leaks-${worker}`
    const note = (step: "make" | "begin" | "close") =>
      Effect.map(log.position, (position) => run.epochs.note(transactionalId, step, position))
    for (let first = worker; first < scopes; first += workers * scopesPerProducer) {
      yield* note("make")
      yield* Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({ ...timeouts, transactionalId }).pipe(
          Effect.retry({ times: 3 })
        )
        const last = Math.min(scopes, first + workers * scopesPerProducer)
        for (let index = first; index < last; index += workers) {
          yield* note("begin")
          run.told[index] = tell(index, yield* Effect.exit(scope(producer, worker, index)))
          yield* note("close")
          if (index % scopesPerPause === worker) yield* othersGoOn(log)
          if (index % scopesPerLook === 0) run.epochs.take(yield* log.entries)
        }
      }).pipe(Effect.scoped, Effect.provide(driver))
      yield* note("close")
      run.heaps.push(yield* ProcessUse.heapBytes)
    }
  })

/** Waits while other workers end some transactions; the last one has nobody to wait for. */
const othersGoOn = (log: FaultProxyWireLog.WireLog) =>
  Effect.flatMap(
    log.position,
    (after) =>
      log.awaitFrame({ api: "EndTxn", phase: "response", nth: 4 }, { after, timeout: "200 millis" })
  )
    .pipe(Effect.ignore)

/** One scope: most commit, some fail, die or are interrupted, in both forms. */
const scope = (
  producer: TransactionalProducer.TransactionalProducer["Service"],
  partition: number,
  index: number
) => {
  const body = Transaction.send([{ topic, partition, value: String(index) }]).pipe(
    Effect.andThen(
      index % 10 === 3
        ? Effect.fail("mine" as const)
        : index % 23 === 7
        ? Effect.die(new Error("mine"))
        : Effect.void
    )
  )
  const transaction = index % 2 === 0
    ? producer.withTransaction(body)
    : Effect.scoped(Effect.flatMap(
      producer.begin(),
      (transaction) => Effect.provideService(body, Transaction.Transaction, transaction)
    ))
  return index % 17 === 5 ? Effect.timeout(transaction, "5 millis") : transaction
}

const committed = 1
const aborted = 2
const unknown = 3

/** What an exit says: an interrupted program may have committed, and was not told. */
const tell = (index: number, exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return committed
  if (index % 17 === 5 || reasonOf(exit) === "CommitOutcomeUnknown") return unknown
  return aborted
}

/** What was told is so: committed records are there once, aborted ones are not. */
const assertTruth = (told: Uint8Array) =>
  Effect.gen(function*() {
    const visible = yield* LogReader.visibleValues(yield* EmbeddedKafka.EmbeddedKafka, topic)
    const seen = new Uint8Array(told.length)
    for (const value of visible) seen[Number(value)]!++
    const wrong = [...told].flatMap((what, index) => {
      const times = seen[index] ?? 0
      const fits = what === committed
        ? times === 1
        : what === aborted
        ? times === 0
        : times <= 1
      return fits ? [] : [`${index} was told ${what} and is there ${times} times`]
    })
    assert.deepStrictEqual(wrong, [])
    assert.isAbove(visible.length, told.length / 2)
  })

/** What one scope may seem to keep: about the smallest object. */
const keptBytesMax = 16

/** Looks differ by 200 KB for what is under way, and shapes that V8 has not met come up late. */
const grownBytesMax = 256 * 1024

/**
 * Compares the looks before the half of the run with those before its end; at the very end, when
 * some workers are done, there is less under way. The lowest of a stretch is what is kept. What
 * shows is about 45 bytes a scope in a run of 20,000 scopes, and half a kilobyte in one of 2,000.
 */
const assertFlat = (heaps: ReadonlyArray<number>, scopes: number): void => {
  const looks = heaps.slice(0, -workers)
  const sixth = Math.ceil(looks.length / 6)
  const half = Math.ceil(looks.length / 2)
  const middle = Math.min(...looks.slice(half - sixth, half))
  const end = Math.min(...looks.slice(-sixth))
  const bound = grownBytesMax + keptBytesMax * scopes / 2
  assert.isBelow(end - middle, bound, `the heap after collections: ${heaps.join(", ")}`)
}

/**
 * The pause between two looks is a timer itself, and one that runs still counts as there: the look
 * is taken when its turn of the event loop, and the one that tells of its end, are over.
 */
const outsideTimers = Effect.callback<void>((resume) => {
  setImmediate(() => setImmediate(() => resume(Effect.void)))
})

/** Sockets and fibers that end take a moment. */
const settled = <A>(question: Effect.Effect<A>, fits: (answer: A) => boolean) =>
  Effect.gen(function*() {
    const look: Effect.Effect<A> = Effect.flatMap(outsideTimers, () => question)
    const answer = yield* Effect.repeat(look, {
      until: fits,
      schedule: Schedule.spaced("20 millis"),
      times: 250
    })
    assert.isTrue(fits(answer), `left behind: ${JSON.stringify(answer, null, 2)}`)
  })
