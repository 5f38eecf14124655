import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { KafkaDriver } from "../KafkaDriver.ts"
import type { KafkaError } from "../KafkaError.ts"
import { ProducerEvent } from "../ProducerEvent.ts"
import * as ProducerOptions from "../ProducerOptions.ts"
import * as TransactionState from "../TransactionState.ts"
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
    const driver = yield* KafkaDriver
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
      dead: null,
      closing: false
    }
    return core
  })

/**
 * Closes a producer: lets its open transaction settle for as long as a release may take, then closes
 * its session. Nothing can be begun or sent in it meanwhile.
 */
const close = (core: ProducerCore): Effect.Effect<void> =>
  Effect.gen(function*() {
    core.closing = true
    const { drainTimeout, abortTimeout } = core.settings
    const limit = Duration.sum(drainTimeout, abortTimeout)
    const settled = core.current === null
      ? true
      : (yield* Effect.timeoutOption(Semaphore.take(core.permit, 1), limit))._tag === "Some"
    if (!settled) {
      const { transactionalId } = core.settings
      yield* Effect.logWarning("kafka-once: the producer is closed under an open transaction", {
        transactionalId
      })
      yield* fenceOpenTransaction(core)
    }
    transition(core, "Closed")
    yield* retire(core, "the producer is closed")
    yield* PubSub.shutdown(core.events)
  })

/**
 * Ends the transaction of a program that never ended it: a new session on the same id does.
 */
const fenceOpenTransaction = (core: ProducerCore): Effect.Effect<void> =>
  Effect.gen(function*() {
    if (core.dead !== null) return
    yield* retire(core, "the producer is closed under an open transaction")
    core.state = TransactionState.State.Retired()
    // Best effort: where it fails, the broker ends the transaction by its timeout.
    yield* Effect.ignore(reopen(core, "abort", core.settings.abortTimeout), { log: "Warn" })
  })
