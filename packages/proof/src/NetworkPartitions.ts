/**
 * Networks that are cut for a while: nothing gets through in one direction or in both, and no
 * connection breaks.
 *
 * A cut that is shorter than the deadlines is not noticed. One that is longer gives errors in
 * bounded time, then errors at once, and when it is over the same producer goes on by itself; what
 * was unknown meanwhile is answered then. In either case the log says that nothing was lost,
 * doubled or torn, and a witness that is no client of ours says that the network was cut.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { isKafkaError } from "@kafka-once/core/KafkaError"
import type { ProducerOptions } from "@kafka-once/core/ProducerOptions"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as NetworkCut from "./internal/networkCut.ts"
import {
  assertRecovers,
  brief,
  longest,
  pay,
  type Producer,
  resolve,
  whole
} from "./internal/networkPayments.ts"
import * as ProcessUse from "./internal/processUse.ts"
import * as LogReader from "./LogReader.ts"
import {
  type Bench,
  type DriverAt,
  make as makeBench,
  reasonOf,
  soon,
  timeouts
} from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

const cases = NetworkCut.moments.flatMap((moment) =>
  NetworkCut.directions.map((direction) => ({ moment, direction }))
)

const atTheCommit = cases.filter(({ moment }) => moment === "while the commit is on its way")

const inLayer = (title: string, tests: (it: It) => void): void => {
  layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(title, tests)
}

/**
 * Runs the suite over a driver, on a broker of its own: every short cut, and the long ones around
 * the commit.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  inLayer(`a network that is cut, over ${name}`, (it) => {
    unnoticed(it, driver)
    long(it, driver, atTheCommit)
    flat(it, driver)
  })
}

/**
 * Runs what takes as long as many deadlines do.
 *
 * @category testing
 * @since 0.1.0
 */
export const slowSuite = (name: string, driver: DriverAt): void => {
  inLayer(`a network that is cut, over ${name}, at every moment`, (it) => {
    repeated(it, driver)
    long(it, driver, cases.filter((one) => !atTheCommit.includes(one)))
    outlasting(it, driver)
  })
}

/** Runs a test on a bench, with a producer of its own options; the network is healed after it. */
const withProducer = <E>(
  driverAt: DriverAt,
  options: Omit<ProducerOptions, "transactionalId">,
  test: (
    bench: Bench,
    producer: Producer
  ) => Effect.Effect<void, E, KafkaDriver | EmbeddedKafka.EmbeddedKafka | Scope.Scope>
) =>
  Effect.gen(function*() {
    const bench = yield* makeBench(driverAt)
    yield* Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make({ ...bench.options, ...options })
      yield* Effect.ensuring(test(bench, producer), bench.proxy.heal)
    }).pipe(Effect.scoped, Effect.provide(bench.driver))
  })

/** How often a producer has asked for a session. */
const sessionsOf = ({ proxy, transactionalId }: Bench) =>
  Effect.map(
    proxy.log.entries,
    (entries) =>
      entries.filter((entry) =>
        entry.api === "InitProducerId" && entry.transactionalId === transactionalId
      ).length
  )

/** Shorter than any request may take. */
const shortCut = Duration.millis(300)

const unnoticed = (it: It, driver: DriverAt): void => {
  it.effect.each(cases)(
    "a cut of $direction $moment, shorter than a request may take, is not noticed",
    ({ direction, moment }) =>
      withProducer(
        driver,
        { requestTimeout: "5 seconds", commitTimeout: "6 seconds", deliveryTimeout: "6 seconds" },
        (bench, producer) =>
          Effect.gen(function*() {
            const { topic, visible } = bench
            const sessions = yield* sessionsOf(bench)
            const cut = yield* NetworkCut.make(bench, moment, direction)
            yield* Effect.all([
              pay(topic, "cut", cut.beforeSend).pipe(producer.withTransaction()),
              cut.down.pipe(
                Effect.andThen(Effect.sleep(shortCut)), // the fault itself
                Effect.andThen(cut.heal),
                Effect.andThen(cut.deliver)
              )
            ], { concurrency: 2 })
            assert.isTrue((yield* producer.status).ready)
            assert.strictEqual(yield* sessionsOf(bench), sessions)
            assert.deepStrictEqual(yield* visible, whole("cut"))
          })
      )
  )
}

/** Longer than a request may take, and shorter than all its repetitions. */
const longerCut = Duration.millis(1_200)

const repeated = (it: It, driver: DriverAt): void => {
  it.effect.each(cases)(
    "a cut of $direction $moment, shorter than the deadlines, is survived by one transaction",
    ({ direction, moment }) =>
      withProducer(
        driver,
        { ...timeouts, deliveryTimeout: "5 seconds", drainTimeout: "5 seconds" },
        (bench, producer) =>
          Effect.gen(function*() {
            const { topic, visible } = bench
            const cut = yield* NetworkCut.make(bench, moment, direction)
            let runs = 0
            const once = Effect.suspend(() => runs++ === 0 ? cut.beforeSend : Effect.void)
            yield* Effect.all([
              pay(topic, "cut", once).pipe(producer.withTransaction({ retry: soon })),
              cut.down.pipe(
                Effect.andThen(Effect.sleep(longerCut)), // the fault itself
                Effect.andThen(cut.heal),
                Effect.andThen(cut.deliver)
              )
            ], { concurrency: 2 })
            yield* pay(topic, "after").pipe(producer.withTransaction())
            assert.deepStrictEqual(yield* visible, whole("after", "cut"))
          })
      )
  )
}

const long = (it: It, driver: DriverAt, some: typeof cases): void => {
  it.effect.each(some)(
    "a cut of $direction $moment, past the deadlines: bounded, then at once, then it goes on",
    ({ direction, moment }) =>
      withProducer(driver, brief, (bench, producer) =>
        Effect.gen(function*() {
          const { assertNothingOpen, topic, visible } = bench
          yield* pay(topic, "before").pipe(producer.withTransaction())
          const cut = yield* NetworkCut.make(bench, moment, direction)
          const [took, exit] = yield* Effect.timed(
            pay(topic, "cut", cut.beforeSend).pipe(producer.withTransaction(), Effect.exit)
          )
          assert.isBelow(Duration.toMillis(took), Duration.toMillis(longest))
          const isCommit = moment === "while the commit is on its way"
          assert.strictEqual(reasonOf(exit), isCommit ? "CommitOutcomeUnknown" : "TimedOut")
          yield* assertFailsAtOnce(bench, producer, yield* cut.down)
          yield* cut.heal
          yield* assertRecovers(producer)
          // Late, yet before anybody else has spoken, or after all is said.
          const isEarly = direction === "requests"
          if (isEarly) yield* cut.deliver
          const committed = isCommit && (yield* resolve(exit))
          assert.strictEqual(committed, isCommit && direction !== "both")
          yield* pay(topic, "after").pipe(producer.withTransaction())
          if (!isEarly) yield* cut.deliver
          yield* pay(topic, "later").pipe(producer.withTransaction())
          assert.deepStrictEqual(
            yield* visible,
            whole("before", "after", "later", ...committed ? ["cut"] : [])
          )
          yield* assertNothingOpen
        }))
  )
}

/** What is not sent any more the broker ends by itself; the way back is the same. */
const outlasting = (it: It, driver: DriverAt): void => {
  it.effect("a cut that outlasts the transaction's timeout: the broker ends it", () =>
    withProducer(
      driver,
      { ...brief, transactionTimeout: Duration.seconds(3) },
      (bench, producer) =>
        Effect.gen(function*() {
          const { assertNothingOpen, topic, transactionalId, visible } = bench
          const kafka = yield* EmbeddedKafka.EmbeddedKafka
          const open = LogReader.openTransactions(kafka, transactionalId)
          yield* pay(topic, "before").pipe(producer.withTransaction())
          const exit = yield* pay(topic, "cut").pipe(
            Effect.andThen(Effect.andThen(bench.proxy.blackhole("both"), Effect.fail("mine"))),
            producer.withTransaction(),
            Effect.exit
          )
          assert.strictEqual(Option.getOrThrow(Exit.findErrorOption(exit)), "mine")
          assert.strictEqual((yield* open).length, 1)
          yield* open.pipe(
            Effect.repeat({
              until: (left) => left.length === 0,
              schedule: Schedule.spaced("100 millis")
            }),
            Effect.timeout("10 seconds")
          )
          yield* bench.proxy.heal
          yield* assertRecovers(producer)
          yield* pay(topic, "after").pipe(producer.withTransaction())
          assert.deepStrictEqual(yield* visible, whole("before", "after"))
          yield* assertNothingOpen
        })
    ))
}

/** While nothing answers, both forms fail at once, and say since when; so does the status. */
const assertFailsAtOnce = (bench: Bench, producer: Producer, downAt: number) =>
  Effect.gen(function*() {
    const forms = [
      pay(bench.topic, "never").pipe(producer.withTransaction()),
      Effect.scoped(Effect.asVoid(producer.begin()))
    ]
    let before = -1
    for (const form of forms) {
      const [took, exit] = yield* Effect.timed(Effect.exit(form))
      assert.strictEqual(reasonOf(exit), "Unreachable")
      assert.isBelow(Duration.toMillis(took), 100)
      const error = Option.getOrThrow(Exit.findErrorOption(exit))
      assert(isKafkaError(error) && error.reason._tag === "Unreachable")
      const { reason } = error
      assert.isAtLeast(reason.sinceMillis, before)
      assert.isAtMost(reason.sinceMillis, (yield* Clock.currentTimeMillis) - downAt)
      before = reason.sinceMillis
    }
    const { ready, unreachableSinceMillis } = yield* producer.status
    assert.isFalse(ready)
    const since = Option.getOrThrow(unreachableSinceMillis)
    assert.isAtLeast(since, downAt)
    assert.isAtMost(since, yield* Clock.currentTimeMillis)
  })

const calls = 2_000
const rounds = 5

/** What a round may add; a call that kept as much as 100 bytes would show 200 KB. */
const keptBytesMax = 150_000

const flat = (it: It, driver: DriverAt): void => {
  it.effect(
    `${calls * rounds} calls that fail at once leave nothing behind`,
    () =>
      withProducer(driver, brief, ({ proxy, topic, visible }, producer) =>
        Effect.gen(function*() {
          const fibers = ProcessUse.countFibers()
          const timers = yield* ProcessUse.watchTimers
          yield* proxy.blackhole("both")
          const first = yield* Effect.exit(pay(topic, "first").pipe(producer.withTransaction()))
          assert.strictEqual(reasonOf(first), "TimedOut")
          const use: Array<Use> = []
          for (let round = 0; round < rounds; round++) {
            yield* failAtOnce(producer, topic).pipe(
              Effect.repeat({ times: calls - 1 }),
              fibers.within
            )
            // The probe in the background opens connections, one after the other.
            const opened = yield* proxy.connections.opened
            yield* Effect.repeat(proxy.connections.opened, {
              until: (now) => now > opened,
              schedule: Schedule.spaced("10 millis")
            })
            use.push({
              heapBytes: yield* ProcessUse.heapBytes,
              timers: (yield* timers).length,
              sockets: yield* openSockets(proxy),
              fibers: fibers.count.started - fibers.count.ended
            })
          }
          assertFlat(use)
          assert.isFalse((yield* producer.status).ready)
          yield* proxy.heal
          yield* assertRecovers(producer)
          yield* pay(topic, "after").pipe(producer.withTransaction())
          assert.deepStrictEqual(yield* visible, whole("after"))
        })),
    // Each round waits for a probe, of which there is one in 6 seconds.
    180_000
  )
}

const openSockets = (proxy: Bench["proxy"]) =>
  Effect.map(
    proxy.connections.open,
    (open) => [...open.values()].reduce((sum, count) => sum + count, 0)
  )

const failAtOnce = (producer: Producer, topic: string) =>
  Effect.gen(function*() {
    const exit = yield* Effect.exit(pay(topic, "never").pipe(producer.withTransaction()))
    if (reasonOf(exit) !== "Unreachable") assert.fail(reasonOf(exit))
  })

interface Use {
  readonly heapBytes: number
  readonly timers: number
  readonly sockets: number
  readonly fibers: number
}

/**
 * What the first probes ask of a silent broker keeps a connection each until its time is up, as
 * many as a driver has for a broker; later probes are further apart. A call that left something
 * would show thousands.
 */
const pooledMax = 8
const timersMax = 40

/** The first round compiles code and fills caches. */
const assertFlat = ([, second, ...later]: ReadonlyArray<Use>): void => {
  const told = JSON.stringify([second, ...later])
  const last = later.at(-1)
  assert(second !== undefined && last !== undefined)
  const grown = last.heapBytes - second.heapBytes
  assert.isBelow(grown, keptBytesMax * later.length, told)
  for (const { fibers, sockets, timers } of later) {
    assert.strictEqual(fibers, 0, told)
    assert.isAtMost(sockets, pooledMax, told)
    assert.isAtMost(timers, timersMax, told)
  }
  assert.isAtMost(last.sockets, 2, told)
  assert.isAtMost(last.timers, second.timers + 2, told)
}
