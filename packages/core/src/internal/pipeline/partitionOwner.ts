import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Settings } from "../../ExactlyOnceOptions.ts"
import type { KafkaDriver } from "../../KafkaDriver.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Transaction } from "../../Transaction.ts"
import * as TransactionalProducer from "../../TransactionalProducer.ts"
import type { Lane } from "../consumer/lane.ts"
import { type Member, noteUnreachable, pauseMillis } from "../consumer/member.ts"
import { whileOwned } from "../consumer/positions.ts"
import * as Heard from "../heard.ts"
import type { PipelineMetrics } from "./pipelineMetrics.ts"
import * as Worker from "./worker.ts"
import * as WorkLane from "./workLane.ts"

/**
 * Works one partition under a transactional id of the partition's own, for as long as it is owned
 * (I5): initialises the id, which ends whatever an earlier owner has open and keeps it from ever
 * committing; then reads the committed offset, which nobody else can move from here on; then seeks,
 * and processes.
 */
export const ownAlone = <K, V, E, R>(
  settings: Settings<K, V, E, R>,
  metrics: PipelineMetrics,
  member: Member,
  lane: Lane
): Effect.Effect<void, E | KafkaError, Exclude<R, Transaction> | KafkaDriver> =>
  Effect.gen(function*() {
    let fences: ReadonlyArray<number> = []
    while (lane.state === "owned") {
      const failure = yield* Effect.scoped(workOn(settings, metrics, member, lane)).pipe(
        Effect.as(null),
        Effect.catchIf(isFence, Effect.succeed)
      )
      // Who is out of its group was fenced by the next owner, from whom nothing is to be taken.
      if (failure === null || !(yield* isConfirmed(lane))) continue
      const now = yield* Clock.currentTimeMillis
      const since = now - fencesKept * Duration.toMillis(member.settings.sessionTimeout)
      fences = [...fences.filter((at) => at > since), now]
      // Two pipelines that share group and prefix in different clusters' names, or a second one
      // that is not in the group: each would take the id from the other for ever.
      if (fences.length >= maxFences) return yield* Effect.fail(failure)
      yield* whileOwned(lane, Effect.sleep(pauseMillis(fences.length)))
    }
  })

// A member that was out of the group may fence the owner once on its way to learn so. That takes a
// session's time each, so that so many within a few of these are another program's, also of one
// that is started again only from time to time.
const maxFences = 3
const fencesKept = 10

/**
 * Asks the group until it says that this member is still one, and so the owner of the partition;
 * `false` when the partition is taken away, which is what a member hears next that is none.
 */
const isConfirmed = (lane: Lane): Effect.Effect<boolean> => {
  const ask = (times: number): Effect.Effect<void> =>
    Effect.catch(
      lane.session.heartbeat,
      () => Effect.andThen(Effect.sleep(pauseMillis(times)), ask(times + 1))
    )
  return whileOwned(lane, ask(1))
}

const isFence = <E>(error: E | KafkaError): error is E & KafkaError => isProducerFenced(error)

const isProducerFenced = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "reason" in error &&
  typeof error.reason === "object" && error.reason !== null && "_tag" in error.reason &&
  error.reason._tag === "ProducerFenced"

const workOn = <K, V, E, R>(
  settings: Settings<K, V, E, R>,
  metrics: PipelineMetrics,
  member: Member,
  lane: Lane
): Effect.Effect<
  void,
  E | KafkaError,
  Exclude<R, Transaction> | KafkaDriver | Scope.Scope
> =>
  Effect.gen(function*() {
    const producer = yield* initialise(settings, member, lane)
    if (producer === null) return
    const worker = Worker.make({
      settings,
      metrics,
      producer,
      bounds: {
        maxRecords: settings.maxRecords,
        maxBytes: settings.maxBytes,
        withinMillis: Duration.toMillis(settings.within)
      },
      isClosing: true
    })
    const work = WorkLane.make(member, lane)
    Worker.add(worker, work)
    yield* Effect.raceFirst(Worker.run(worker), Worker.tellOfChanges(worker, work)).pipe(
      Effect.ensuring(WorkLane.stopFeeder(work))
    )
  })

/**
 * Makes the producer of a partition, for as long as that takes and the partition is owned.
 */
const initialise = <K, V, E, R>(
  settings: Settings<K, V, E, R>,
  member: Member,
  lane: Lane
): Effect.Effect<
  TransactionalProducer.TransactionalProducer["Service"] | null,
  KafkaError,
  KafkaDriver | Scope.Scope
> =>
  Effect.gen(function*() {
    const { groupId, transactionalIdPrefix } = settings
    const transactionalId = [transactionalIdPrefix, groupId, lane.topic, lane.partition].join(".")
    const made = Deferred.makeUnsafe<TransactionalProducer.TransactionalProducer["Service"]>()
    const attempt = TransactionalProducer.make({ ...settings.producer, transactionalId }).pipe(
      Effect.flatMap((producer) => Deferred.succeed(made, producer)),
      Effect.asVoid
    )
    for (let failures = 1; lane.state === "owned"; failures++) {
      const exit = yield* Effect.result(whileOwned(lane, attempt))
      if (exit._tag === "Success") return exit.success ? yield* Deferred.await(made) : null
      const { reason, recovery } = exit.failure
      if (recovery !== "retry") return yield* Effect.fail(exit.failure)
      if (reason._tag === "Unreachable") yield* noteUnreachable(member, reason.last)
      yield* whileOwned(lane, Heard.pause(member.heard, pauseMillis(failures)))
    }
    return null
  })
