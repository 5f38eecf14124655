import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { KafkaDriver } from "../KafkaDriver.ts"
import { KafkaError, ProducerClosed } from "../KafkaError.ts"
import { ProducerEvent } from "../ProducerEvent.ts"
import * as ProducerOptions from "../ProducerOptions.ts"
import * as TransactionState from "../TransactionState.ts"
import { guarded } from "./guardedDriver.ts"
import { reopen, retire } from "./liveSession.ts"
import { makeSticky } from "./partitioner.ts"
import { type ProducerCore, publish, transition } from "./producerCore.ts"
import * as Reachability from "./reachability.ts"
import { metricsOf } from "./telemetry.ts"
import * as Topics from "./topics.ts"

// How many events a subscriber may lag behind.
const eventsKept = 1_024

/**
 * Makes a producer in the current scope, with its first session open.
 */
export const make = (
  options: ProducerOptions.ProducerOptions
): Effect.Effect<ProducerCore, KafkaError, KafkaDriver | Scope.Scope> =>
  Effect.gen(function*() {
    const settings = yield* ProducerOptions.resolve(options)
    const driver = guarded(yield* KafkaDriver)
    const core = yield* makeCore(driver, settings)
    yield* Effect.addFinalizer(() => close(core))
    yield* reopen(core, "initialize", settings.initializeTimeout)
    return core
  })

const makeCore = (
  driver: KafkaDriver["Service"],
  settings: ProducerOptions.Settings
): Effect.Effect<ProducerCore, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { transactionalId } = settings
    const scope = yield* Effect.scope
    const events = yield* PubSub.sliding<ProducerEvent>(eventsKept)
    const firstPartition = yield* Random.nextIntBetween(0, 1 << 16)
    const core: ProducerCore = {
      settings,
      driver,
      permit: yield* Semaphore.make(1),
      events,
      metrics: metricsOf(transactionalId),
      reachability: Reachability.make({
        driver,
        requestTimeout: settings.requestTimeout,
        scope,
        onLost: (last) =>
          Effect.andThen(
            Effect.logWarning("kafka-once: no broker answers", { transactionalId, last }),
            publish(core, ProducerEvent.Unreachable({ transactionalId, last }))
          ),
        onFound: Effect.suspend(() =>
          Effect.andThen(
            Effect.logInfo("kafka-once: a broker answers again", { transactionalId }),
            publish(core, ProducerEvent.Reachable({ transactionalId }))
          )
        )
      }),
      topics: Topics.make(driver, settings.deliveryTimeout),
      chooseSticky: makeSticky((count) => firstPartition % count),
      state: TransactionState.initial,
      live: null,
      current: null,
      waiting: 0,
      transactions: 0,
      dead: null,
      closing: false,
      ownFenceUntilMillis: null
    }
    return core
  })

/**
 * Closes a producer: lets its open transaction settle for as long as a release may take, then
 * closes its session. Nothing can be begun or sent in it meanwhile.
 */
const close = (core: ProducerCore): Effect.Effect<void> =>
  Effect.gen(function*() {
    core.closing = true
    const isSettled = yield* awaitSettled(core)
    // From here on whatever happens to the transaction changes nothing.
    transition(core, "Closed")
    yield* retire(core, "the producer is closed")
    if (!isSettled) yield* fenceOpenTransaction(core)
    // Whoever still waits for a turn finds the producer closed now, and not at the end of its wait.
    yield* Semaphore.resize(core.permit, core.waiting + 2)
    yield* PubSub.shutdown(core.events)
  })

/**
 * Waits for the producer's permit: no transaction has it then, and no begin. A transaction whose
 * body goes on is given less time than one that is already being settled.
 */
const awaitSettled = (core: ProducerCore): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const { drainTimeout, abortTimeout } = core.settings
    const limit = Duration.sum(drainTimeout, abortTimeout)
    const take = Effect.timeoutOption(Semaphore.take(core.permit, 1), limit)
    if ((yield* take)._tag === "Some") return true
    return core.current?.ended === true && (yield* take)._tag === "Some"
  })

/**
 * Ends the transaction of a program that never ended it: a new session on the same id does, and is
 * closed at once, because the producer is.
 */
const fenceOpenTransaction = (core: ProducerCore): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { current } = core
    if (current === null) return
    const { transactionalId, abortTimeout } = core.settings
    const reason = new ProducerClosed({ transactionalId })
    current.queue.discard(new KafkaError({ operation: "send", reason }))
    // What is on its way would go on waiting for an answer that nobody reads.
    yield* current.queue.stop
    if (core.dead !== null) return
    yield* Effect.logWarning("kafka-once: the producer is closed under an open transaction", {
      transactionalId
    })
    // Best effort: where it fails, the broker ends the transaction by its timeout.
    yield* Effect.ignore(reopen(core, "abort", abortTimeout), { log: "Warn" })
  })
