import * as Consumer from "@kafka-once/core/Consumer"
import { type ConsumerSession, SessionEvent } from "@kafka-once/core/ConsumerDriver"
import type { GroupOffsets } from "@kafka-once/core/GroupOffsets"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

// A group without members takes offsets from nobody in particular.
const nobody = { generationId: -1, memberId: "", groupInstanceId: null }

/**
 * Offsets of a group that has no members, for tests that need no group. Only a consumer gives
 * offsets, so that they come from one: over a driver that has one record to read, and no broker.
 */
export const of = (
  groupId: string,
  topicPartition: TopicPartition,
  lastProcessed: bigint
): Effect.Effect<GroupOffsets> =>
  Effect.gen(function*() {
    const { batches } = yield* Consumer.make({ groupId, topics: [topicPartition.topic] })
    const first = yield* Stream.runHead(batches)
    return Option.getOrThrow(first).offsets
  }).pipe(
    Effect.scoped,
    Effect.provideService(KafkaDriver, driverOf(topicPartition, lastProcessed)),
    // No broker is asked, so that a failure is a mistake here.
    Effect.orDie
  )

const neverAsked = Effect.die("This driver has one record to read, and nothing else")

const driverOf = (topicPartition: TopicPartition, offset: bigint): KafkaDriver["Service"] =>
  KafkaDriver.of({
    name: "one record",
    capabilities: {
      groupFencing: true,
      stableOffsets: true,
      epochBump: false,
      transactionVersion: 1,
      commitRetry: false,
      correctReadCommitted: true,
      revocationHold: true,
      staticMembership: false,
      consumerGroupProtocol: false,
      lastStableOffset: false
    },
    probe: neverAsked,
    partitionCount: () => Effect.succeed(1),
    openSession: () => neverAsked,
    endMarker: () => neverAsked,
    committedOffsets: () => Effect.succeed([{ ...topicPartition, offset: null, metadata: null }]),
    openConsumer: () =>
      Effect.gen(function*() {
        const events = yield* Queue.unbounded<SessionEvent>()
        yield* Queue.offer(
          events,
          SessionEvent.Assigned({ membership: nobody, partitions: [topicPartition] })
        )
        let isTaken = false
        const session: ConsumerSession = {
          nextEvent: Queue.take(events),
          take: () =>
            Effect.suspend(() => {
              // There is nothing after the one record.
              if (isTaken) return Effect.never
              isTaken = true
              return Effect.succeed({
                ...topicPartition,
                membership: nobody,
                position: 0n,
                nextOffset: offset + 1n,
                records: [{ offset, timestamp: 0n, key: null, value: null, headers: [] }],
                bytes: 0
              })
            }),
          seek: () => Effect.void,
          pause: () => Effect.void,
          resume: () => Effect.void,
          settled: () => Effect.void,
          heartbeat: Effect.void,
          commit: () => neverAsked,
          watermarks: () => null
        }
        return session
      })
  })
