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
import * as Heard from "./heard.ts"
import { reopen } from "./liveSession.ts"
import { makeSticky } from "./partitioner.ts"
import { type Lanes, transition } from "./producerCore.ts"
import * as ProducerLanes from "./producerLanes.ts"
import * as Reachability from "./reachability.ts"
import { metricsOf } from "./telemetry.ts"
import * as Topics from "./topics.ts"

// How many events a subscriber may lag behind. Room for them is taken at once, 16 bytes each, of
// every id of a process that has a thousand.
const eventsKept = 256

/**
 * Makes a producer in the current scope, with the first session of each of its lanes open.
 */
export const make = (
  options: ProducerOptions.ProducerOptions
): Effect.Effect<Lanes, KafkaError, KafkaDriver | Scope.Scope> =>
  Effect.gen(function*() {
    const settings = yield* ProducerOptions.resolve(options)
    const driver = guarded(yield* KafkaDriver)
    const lanes = yield* makeLanes(driver, settings)
    yield* Effect.addFinalizer(() => close(lanes))
    yield* ProducerLanes.reopenAll(lanes, "initialize")
    return lanes
  })

const makeLanes = (
  driver: KafkaDriver["Service"],
  settings: ProducerOptions.Settings
): Effect.Effect<Lanes, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { transactionalId } = settings
    const scope = yield* Effect.scope
    const events = yield* PubSub.sliding<ProducerEvent>(eventsKept)
    const firstPartition = yield* Random.nextIntBetween(0, 1 << 16)
    const shared = {
      driver,
      events,
      reachability: Reachability.make({
        driver,
        requestTimeout: settings.requestTimeout,
        scope,
        heard: yield* Heard.CurrentHeard,
        onLost: (last) =>
          Effect.andThen(
            Effect.logWarning("kafka-once: no broker answers", { transactionalId, last }),
            Effect.sync(() => {
              PubSub.publishUnsafe(events, ProducerEvent.Unreachable({ transactionalId, last }))
            })
          ),
        onFound: Effect.suspend(() =>
          Effect.andThen(
            Effect.logInfo("kafka-once: a broker answers again", { transactionalId }),
            Effect.sync(() => {
              PubSub.publishUnsafe(events, ProducerEvent.Reachable({ transactionalId }))
            })
          )
        )
      }),
      topics: Topics.make(driver, settings.deliveryTimeout),
      chooseSticky: makeSticky((count) => firstPartition % count)
    }
    const permit = yield* Semaphore.make(1)
    return ProducerLanes.make(permit, settings, (lanes, laneSettings) => ({
      ...shared,
      lanes,
      settings: laneSettings,
      metrics: metricsOf(laneSettings.transactionalId),
      state: TransactionState.initial,
      live: null,
      current: null,
      transactions: 0,
      dead: null,
      closing: false,
      resumption: null,
      ownFence: null,
      takesOver: false
    }))
  })

/**
 * Closes a producer: lets its open transaction settle for as long as a release may take, then
 * closes its sessions. Nothing can be begun or sent in it meanwhile.
 */
const close = (lanes: Lanes): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const core of lanes.all) core.closing = true
    const isSettled = yield* awaitSettled(lanes)
    // From here on whatever happens to the transaction changes nothing.
    for (const core of lanes.all) transition(core, "Closed")
    yield* ProducerLanes.retireAll(lanes, "the producer is closed")
    if (!isSettled) yield* fenceOpenTransaction(lanes)
    // Whoever still waits for a turn finds the producer closed now, and not at the end of its wait.
    yield* Semaphore.resize(lanes.permit, lanes.waiting + 2)
    yield* PubSub.shutdown(lanes.all[0].events)
  })

/**
 * Waits for the producer's permit: no transaction has it then, and no begin. A transaction whose
 * body goes on is given less time than one that is already being settled.
 */
const awaitSettled = (lanes: Lanes): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const { drainTimeout, abortTimeout } = lanes.all[0].settings
    const limit = Duration.sum(drainTimeout, abortTimeout)
    const take = Effect.timeoutOption(Semaphore.take(lanes.permit, 1), limit)
    if ((yield* take)._tag === "Some") return true
    return ProducerLanes.openIn(lanes)?.current?.ended === true && (yield* take)._tag === "Some"
  })

/**
 * Ends the transaction of a program that never ended it: a new session on the same id does, and is
 * closed at once, because the producer is.
 */
const fenceOpenTransaction = (lanes: Lanes): Effect.Effect<void> =>
  Effect.gen(function*() {
    const core = ProducerLanes.openIn(lanes)
    const current = core?.current ?? null
    if (core === null || current === null) return
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
