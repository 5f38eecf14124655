import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ConsumerSession } from "../ConsumerDriver.ts"
import {
  DriverError,
  Failure,
  KafkaDriver,
  type ProducerSession,
  type Request
} from "../KafkaDriver.ts"

/**
 * A driver whose defects are failures: a bug of a client must not become a defect of the program,
 * nor keep a release from ending.
 *
 * A call of EndTxn that died may have been sent. Of every other call it is enough to say that it
 * will not be repeated: a transaction in which it failed is aborted and its session replaced.
 */
export const guarded = (driver: KafkaDriver["Service"]): KafkaDriver["Service"] => {
  const { openConsumer } = driver
  return KafkaDriver.of({
    name: driver.name,
    capabilities: driver.capabilities,
    probe: guard("Metadata", Failure.NotSent(), () => driver.probe),
    partitionCount: (topic) =>
      guard("Metadata", Failure.Refused(), () => driver.partitionCount(topic)),
    openSession: (options) =>
      Effect.map(
        guard("Connect", Failure.Refused(), () => driver.openSession(options)),
        guardedSession
      ),
    endMarker: (topicPartition, offset, producerId) =>
      guard("Fetch", Failure.Refused(), () => driver.endMarker(topicPartition, offset, producerId)),
    committedOffsets: (groupId, partitions) =>
      guard("OffsetFetch", Failure.Refused(), () => driver.committedOffsets(groupId, partitions)),
    openConsumer: openConsumer === null ? null : (options) =>
      Effect.flatMap(
        guard("Connect", Failure.Refused(), () => openConsumer(options)),
        guardedConsumer
      )
  })
}

const guardedSession = (session: ProducerSession): ProducerSession => ({
  initialize: guard("InitProducerId", Failure.Refused(), () => session.initialize),
  begin: guard("AddPartitionsToTxn", Failure.Refused(), () => session.begin),
  send: (batches) =>
    Effect.catch(
      guard("Produce", Failure.Refused(), () => session.send(batches)),
      (error) => Effect.succeed(batches.map(() => Result.fail(error)))
    ),
  sendOffsets: (offsets) =>
    guard("TxnOffsetCommit", Failure.Refused(), () => session.sendOffsets(offsets)),
  end: (end) => guard("EndTxn", Failure.NoAnswer(), () => session.end(end)),
  ...(session.identity === undefined ? {} : { identity: session.identity }),
  ...(session.resumption === undefined ? {} : { resumption: session.resumption })
})

/**
 * A call that cannot fail has nowhere to tell of a defect: the session is over, and `nextEvent`
 * says so.
 */
const guardedConsumer = (session: ConsumerSession): Effect.Effect<ConsumerSession> =>
  Effect.sync(() => {
    const died = Deferred.makeUnsafe<never, DriverError>()
    const orOver = <A>(call: () => Effect.Effect<A>): Effect.Effect<A> =>
      Effect.catch(
        guard("Fetch", Failure.Refused(), call),
        (error) => Effect.andThen(Deferred.fail(died, error), Effect.never)
      )
    return {
      nextEvent: Effect.raceFirst(
        guard("Heartbeat", Failure.Refused(), () => session.nextEvent),
        Deferred.await(died)
      ),
      take: (topicPartition) => orOver(() => session.take(topicPartition)),
      seek: (topicPartition, to) =>
        guard("ListOffsets", Failure.Refused(), () => session.seek(topicPartition, to)),
      pause: (partitions) => orOver(() => session.pause(partitions)),
      resume: (partitions) => orOver(() => session.resume(partitions)),
      settled: (topicPartition, offset) => orOver(() => session.settled(topicPartition, offset)),
      heartbeat: guard("Heartbeat", Failure.Refused(), () => session.heartbeat),
      commit: (membership, positions) =>
        guard("OffsetCommit", Failure.NoAnswer(), () => session.commit(membership, positions)),
      watermarks: session.watermarks
    }
  })

/**
 * Makes a failure of a call's defect.
 */
export const guard = <A, E, R>(
  request: Request,
  failure: Failure,
  call: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | DriverError, R> =>
  Effect.catchDefect(Effect.suspend(call), (defect) => {
    // The name alone: a client's message may hold what it was given, a record's value included.
    const name = defect instanceof Error ? defect.name : typeof defect
    const detail = `the driver died with a defect (${name})`
    return Effect.andThen(
      Effect.logError("kafka-once: a driver died; please report it to its authors", {
        request,
        name
      }),
      Effect.fail(new DriverError({ request, failure, detail }))
    )
  })
