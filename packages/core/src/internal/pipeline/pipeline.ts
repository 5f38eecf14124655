import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { Settings } from "../../ExactlyOnceOptions.ts"
import { KafkaDriver } from "../../KafkaDriver.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Transaction } from "../../Transaction.ts"
import * as TransactionalProducer from "../../TransactionalProducer.ts"
import type { Lane } from "../consumer/lane.ts"
import type { Member } from "../consumer/member.ts"
import * as MemberLife from "../consumer/memberLife.ts"
import * as Heard from "../heard.ts"
import { ownAlone } from "./partitionOwner.ts"
import { metricsOf, type PipelineMetrics } from "./pipelineMetrics.ts"
import * as Worker from "./worker.ts"
import * as WorkLane from "./workLane.ts"

/**
 * Makes a pipeline in the current scope: its producers where they are the process's own, and its
 * member in the group.
 *
 * Which transactions there are is the driver's capability: with group fencing the group refuses the
 * offsets of a member that is out of it, so that one transactional id serves every partition that
 * the process ever has (KIP-447). A new owner then has to read stable offsets, because it ends no
 * transaction of the old one. Without either nothing but a transactional id fences, so that each
 * partition has its own, the same in whichever process the partition is (I5).
 */
export const make = <K, V, E, R>(
  settings: Settings<K, V, E, R>
): Effect.Effect<
  MemberLife.Made<E>,
  KafkaError,
  KafkaDriver | Scope.Scope | Exclude<R, Transaction>
> =>
  Effect.gen(function*() {
    const driver = yield* KafkaDriver
    const metrics = metricsOf(settings.groupId)
    const required = settings.deadLetterTopic === null
      ? settings.outputs
      : [...settings.outputs, settings.deadLetterTopic]
    const { groupFencing, stableOffsets } = driver.capabilities
    const own = groupFencing && stableOffsets
      ? yield* sharing(settings, metrics)
      : (member: Member, lane: Lane) => ownAlone(settings, metrics, member, lane)
    return yield* MemberLife.make(
      settings.consumer,
      { drainTimeout: settings.drainTimeout, hurry: settings.abortNow },
      settings.releaseLimit,
      required,
      own
    )
  }).pipe(Effect.provideServiceEffect(Heard.CurrentHeard, Effect.sync(Heard.make)))

interface Shared<K, V, E, R> {
  readonly worker: Worker.Worker<K, V, E, R>
  readonly failure: Deferred.Deferred<never, E | KafkaError>
}

/**
 * How partitions are owned where the group fences: each belongs to one of a few workers, with a
 * transactional id of the process's.
 */
const sharing = <K, V, E, R>(settings: Settings<K, V, E, R>, metrics: PipelineMetrics) =>
  Effect.gen(function*() {
    const instanceId = settings.instanceId ?? (yield* randomName)
    const workers: Array<Shared<K, V, E, R>> = []
    for (let n = 0; n < settings.parallelTransactions; n++) {
      const producer = yield* TransactionalProducer.make({
        ...settings.producer,
        transactionalId: [settings.transactionalIdPrefix, settings.groupId, instanceId, n].join(".")
      })
      const bounds = {
        maxRecords: settings.maxRecords,
        maxBytes: settings.maxBytes,
        withinMillis: Duration.toMillis(settings.within)
      }
      const worker = Worker.make({ settings, metrics, producer, bounds, isClosing: false })
      const failure = Deferred.makeUnsafe<never, E | KafkaError>()
      yield* Effect.forkScoped(
        Effect.catchCause(Worker.run(worker), (cause) => Deferred.failCause(failure, cause))
      )
      workers.push({ worker, failure })
    }
    return (member: Member, lane: Lane): Effect.Effect<void, E | KafkaError> =>
      share(workers[lane.partition % workers.length]!, member, lane)
  })

const randomName: Effect.Effect<string> = Effect.map(
  Effect.all([Random.nextIntBetween(0, 2 ** 31), Random.nextIntBetween(0, 2 ** 31)]),
  (parts) => parts.map((part) => part.toString(36)).join("")
)

const share = <K, V, E, R>(
  { failure, worker }: Shared<K, V, E, R>,
  member: Member,
  lane: Lane
): Effect.Effect<void, E | KafkaError> =>
  Effect.suspend(() => {
    const work = WorkLane.make(member, lane)
    Worker.add(worker, work)
    return Effect.raceFirst(
      Effect.raceFirst(Deferred.await(work.left), Deferred.await(failure)),
      Worker.tellOfChanges(worker, work)
    ).pipe(Effect.onInterrupt(() => Worker.evict(worker, work)))
  })
