/**
 * Networks that come and go: three services on three ways to one broker, which are cut one after
 * the other and healed in another order, or all at once again and again, at random.
 *
 * Transactions go on whenever there is a way, every call ends in bounded time, and at the end the
 * log says of each payment what its caller was told.
 *
 * @since 0.1.0
 */
import { assert, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { directions } from "./internal/networkCut.ts"
import {
  assertRecovers,
  brief,
  longest,
  pay,
  type Producer,
  resolve,
  whole
} from "./internal/networkPayments.ts"
import * as LogReader from "./LogReader.ts"
import { type DriverAt, reasonOf } from "./ProducerBench.ts"

/**
 * How long and which storm.
 *
 * **Details**
 *
 * *Units and bounds*: a cycle is a slow storm and a quick one, 5.4 seconds together. `seed` draws
 * the orders and the directions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly seed: number
  readonly cycles: number
}

const ways = 3
const topic = "storm"
const step = Duration.millis(300)

/**
 * Runs the storm over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt, options: Options): void => {
  it.live(
    `networks that come and go, over ${name}: the log says what was told (seed ${options.seed})`,
    () => storm(driver, options).pipe(Effect.scoped, Effect.provide(Logger.layer([]))),
    180_000
  )
}

/** One service: its way to the broker, its producer, and what it was told of each payment. */
interface Service {
  readonly proxy: FaultProxy.FaultProxy
  readonly producer: Producer
  readonly driver: KafkaDriver["Service"]
  readonly name: string
  readonly committed: Array<string>
  readonly unknown: Array<{ readonly value: string; readonly exit: Exit.Exit<unknown, unknown> }>
  failed: number
  /** Requests and answers that a cut has met. */
  cutOff: number
}

const storm = (driverAt: DriverAt, { cycles, seed }: Options) =>
  Effect.gen(function*() {
    const proxies = yield* Effect.replicateEffect(FaultProxy.make({ entriesMax: 2_000 }), ways)
    const kafka = yield* EmbeddedKafka.make({ proxiedPorts: proxies.map(({ port }) => port) })
    yield* kafka.createTopic(topic, { partitions: 2 })
    const services: Array<Service> = []
    for (const [index, proxy] of proxies.entries()) {
      const [host = "", port] = kafka.proxied[index]?.upstream.split(":") ?? []
      yield* proxy.connectTo({ host, port: Number(port) })
      services.push(yield* makeService(driverAt, proxy, `service ${index}`))
    }
    const over = yield* Deferred.make<void>()
    yield* Effect.all([
      Effect.forEach(services, (service) => work(service, over), { concurrency: ways }),
      weather(services, cycles).pipe(
        Random.withSeed(seed),
        Effect.ensuring(Deferred.succeed(over, undefined))
      )
    ], { concurrency: 2 })
    // The first that a slow storm cuts has no way for longer than any of its deadlines.
    assert.isAtLeast(services.reduce((sum, { failed }) => sum + failed, 0), cycles)
    for (const service of services) yield* assertSurvived(service)
    const committed = services.flatMap(({ committed }) => committed)
    assert.deepStrictEqual(yield* LogReader.visibleValues(kafka, topic), whole(...committed))
    assert.deepStrictEqual(yield* LogReader.openTransactions(kafka), [])
  })

const makeService = (driverAt: DriverAt, proxy: FaultProxy.FaultProxy, name: string) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(driverAt([`${proxy.host}:${proxy.port}`]))
    const producer = yield* TransactionalProducer.make({ ...brief, transactionalId: name }).pipe(
      Effect.provideContext(context)
    )
    const driver = Context.get(context, KafkaDriver)
    const service: Service = {
      proxy,
      producer,
      driver,
      name,
      committed: [],
      unknown: [],
      failed: 0,
      cutOff: 0
    }
    return service
  })

/**
 * A slow storm cuts one way after the other, the first for longer than the deadlines, and heals
 * them in another order; a quick one cuts and heals all of them, again and again.
 */
const weather = (services: ReadonlyArray<Service>, cycles: number) =>
  Effect.gen(function*() {
    for (let cycle = 0; cycle < cycles; cycle++) {
      for (const service of yield* Random.shuffle(services)) yield* pause(cut(service), 3)
      for (const service of yield* Random.shuffle(services)) yield* pause(heal(service))
      for (let times = 0; times < ways; times++) {
        yield* pause(Effect.forEach(services, cut))
        yield* pause(Effect.forEach(services, heal))
      }
    }
  })

/** What follows waits: the time is the fault itself. */
const pause = <E>(effect: Effect.Effect<unknown, E>, steps = 1): Effect.Effect<void, E> =>
  Effect.andThen(effect, Effect.sleep(Duration.times(step, steps)))

const cut = ({ proxy }: Service) => Effect.flatMap(Random.choice(directions), proxy.blackhole)

/** Every other time the connections do not survive, and what was on its way is lost. */
const heal = (service: Service): Effect.Effect<void> =>
  Effect.gen(function*() {
    const entries = yield* service.proxy.log.entries
    service.cutOff += entries.filter(({ answer, forwardedMillis }) =>
      forwardedMillis === null || answer?.delivered === false
    ).length
    if (yield* Random.nextBoolean) {
      yield* service.proxy.resetAll
    }
    yield* service.proxy.heal
  })

/** Pays until the storm is over, and notes what it is told. */
const work = (service: Service, over: Deferred.Deferred<void>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { name, producer } = service
    const isReady = producer.status.pipe(
      Effect.repeat({ until: ({ ready }) => ready, schedule: Schedule.spaced("10 millis") }),
      Effect.asVoid
    )
    for (let count = 0; !(yield* Deferred.isDone(over)); count++) {
      const value = `${name}: ${count}`
      const [took, exit] = yield* Effect.timed(
        Effect.exit(pay(topic, value).pipe(producer.withTransaction()))
      )
      assert.isBelow(Duration.toMillis(took), Duration.toMillis(longest), value)
      tell(service, value, exit)
      if (reasonOf(exit) === "Unreachable") yield* Effect.raceFirst(isReady, Deferred.await(over))
    }
  })

/** What a caller may be told in a storm; a fence, for one, would be a lie. */
const expected = ["TimedOut", "Unreachable", "CommitRefused", "TransactionTainted"]

const tell = (service: Service, value: string, exit: Exit.Exit<unknown, unknown>): void => {
  if (Exit.isSuccess(exit)) {
    service.committed.push(value)
    return
  }
  service.failed += 1
  const reason = reasonOf(exit)
  if (reason === "CommitOutcomeUnknown") service.unknown.push({ value, exit })
  else assert.include(expected, reason, value)
}

/** It was hit, it got something done, it goes on by itself, and it learns what it did not know. */
const assertSurvived = (service: Service) =>
  Effect.gen(function*() {
    const { committed, cutOff, name, producer, unknown } = service
    assert.isAbove(cutOff, 0, name)
    assert.isAbove(committed.length, 0, name)
    yield* assertRecovers(producer)
    for (const { exit, value } of unknown) {
      if (yield* resolve(exit)) committed.push(value)
    }
    yield* pay(topic, `${name}: last`).pipe(producer.withTransaction())
    committed.push(`${name}: last`)
  }).pipe(Effect.provideService(KafkaDriver, service.driver))
