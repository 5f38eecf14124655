/**
 * A member of a consumer group, as a Stream of batches with the offsets to commit for them.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { FetchedRecord, StartAt } from "./ConsumerDriver.ts"
import type { ConsumerEvent } from "./ConsumerEvent.ts"
import type { ConsumerOptions } from "./ConsumerOptions.ts"
import type { GroupOffsets } from "./GroupOffsets.ts"
import * as Commits from "./internal/consumer/commits.ts"
import * as HandOut from "./internal/consumer/handOut.ts"
import type { Member } from "./internal/consumer/member.ts"
import * as MemberLife from "./internal/consumer/memberLife.ts"
import * as Moves from "./internal/consumer/moves.ts"
import { pause, positionsOf, resume } from "./internal/consumer/positions.ts"
import { ofMember } from "./internal/groupOffsets.ts"
import type { KafkaDriver } from "./KafkaDriver.ts"
import type { KafkaError } from "./KafkaError.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * Records of one partition, in order, and what to commit when all of them are processed.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumedBatch extends TopicPartition {
  readonly records: ReadonlyArray<FetchedRecord>
  readonly offsets: GroupOffsets
}

/**
 * How far a consumer is in one partition that it owns.
 *
 * **Details**
 *
 * *Shape*: `position` is the next offset to be handed out, `null` before the first batch where the
 * group had none. `lagRecords` is how many offsets there are from it to the last stable offset, or
 * to the high watermark where the driver does not tell the former or the consumer reads
 * uncommitted; `null` before the first answer. Offsets of control records count, so that a lag
 * under transactions may be above the number of records.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerPosition extends TopicPartition {
  readonly position: bigint | null
  readonly lagRecords: bigint | null
  readonly paused: boolean
}

/**
 * A member of a consumer group.
 *
 * **When to use**
 *
 * Use `ExactlyOnce` for what reads from Kafka and writes to Kafka. Use a consumer by itself where
 * the results go elsewhere, or at-least-once is enough: process a batch, then `commit` its offsets.
 *
 * **Details**
 *
 * *Shape*
 * - `batches`: the records of all partitions that the member owns. Batches of one partition come in
 *   order; nothing is fetched past the bounds of the options while nobody pulls. Run it once.
 * - `commit`: commits outside of a transaction, until it is answered or `requestTimeout` has passed
 *   three times.
 * - `settled`: tells that offsets were committed elsewhere, as in a transaction.
 * - `rewind`: reads partitions again from the group's committed position; what was handed out of
 *   them and not committed comes again.
 * - `seek`: reads a partition that this member owns from an offset on, or from an end of its log;
 *   what was fetched of it before is dropped. It moves this member, not the group: who owns the
 *   partition next goes on from what is committed. Fails with `ConsumerFenced` where the partition
 *   is not this member's, or is taken away meanwhile.
 * - `pause`, `resume`: stop and go on fetching; without an argument, of every partition owned.
 * - `positions`, `events`: how far it is, and what happens; a subscriber of `events` that lags by
 *   more than 1,024 loses the oldest.
 *
 * *Rebalances*: when the group takes a partition away, nothing more of it is handed out, and where
 * the driver can hold, the group waits until what was handed out is committed or settled, at most
 * for `rebalanceTimeout`. Offsets of a partition that is not owned any more are refused with
 * `ConsumerFenced`: its new owner reads the records again.
 *
 * *Errors*: `batches` fails when the member cannot go on: rights, an unknown topic, another
 * instance with the same static name, a position that is not in the log any more. While brokers do
 * not answer it waits, says so with the event `Unreachable`, and goes on by itself.
 *
 * **Gotchas**
 *
 * Commit a batch before pulling the next of its partition, or the last of several: a commit covers
 * everything before it. What was handed out before a `seek` or a `rewind` of its partition cannot
 * be committed after it, in a transaction neither: that fails with `OffsetsSuperseded`.
 *
 * @category services
 * @since 0.1.0
 */
export class Consumer extends Context.Service<Consumer, {
  readonly groupId: string
  readonly batches: Stream.Stream<ConsumedBatch, KafkaError>
  readonly commit: (offsets: GroupOffsets) => Effect.Effect<void, KafkaError>
  readonly settled: (offsets: GroupOffsets) => Effect.Effect<void>
  readonly rewind: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void, KafkaError>
  readonly seek: (topicPartition: TopicPartition, to: StartAt) => Effect.Effect<void, KafkaError>
  readonly pause: (partitions?: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  readonly resume: (partitions?: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  readonly positions: Effect.Effect<ReadonlyArray<ConsumerPosition>>
  readonly events: Stream.Stream<ConsumerEvent>
}>()("@kafka-once/core/Consumer") {}

// What is interrupted in a consumer's lanes is waiting, and ends at once.
const endingTime = Duration.seconds(1)

/**
 * Makes a consumer in the current scope.
 *
 * **Details**
 *
 * It connects at once, so that wrong credentials or addresses fail here; joining the group goes on
 * in the background. Closing the scope leaves the group.
 *
 * *Errors*: `KafkaError` of the operation `consume`: `Misconfigured` before anything is sent;
 * `UnsupportedByDriver` where the driver cannot give what the options ask for; `UnknownTopic`;
 * `NotAuthorized` and the other refusals at the first answer; `Unreachable` after `connectTimeout`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: ConsumerOptions
): Effect.Effect<Consumer["Service"], KafkaError, KafkaDriver | Scope.Scope> =>
  Effect.gen(function*() {
    const handOut = yield* HandOut.make
    const { failed, member } = yield* MemberLife.make(
      options,
      // Whatever the program has not committed when it closes the scope, it never will.
      { drainTimeout: Duration.zero, hurry: Effect.never },
      endingTime,
      [],
      (member, lane) => HandOut.feed(handOut, member, lane)
    )
    yield* Effect.forkScoped(
      Effect.catchCause(failed, (cause) => Queue.failCause(handOut.queue, cause))
    )
    return toService(member, handOut)
  })

/**
 * A layer of one consumer; see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ConsumerOptions): Layer.Layer<Consumer, KafkaError, KafkaDriver> =>
  Layer.effect(Consumer, make(options))

/**
 * A layer of one consumer whose options come from `Config`; see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<ConsumerOptions>
): Layer.Layer<Consumer, KafkaError | Config.ConfigError, KafkaDriver> =>
  Layer.effect(Consumer, Effect.flatMap(Config.unwrap(options), make))

const toService = (member: Member, handOut: HandOut.HandOut): Consumer["Service"] => {
  const { groupId } = member.settings
  return Consumer.of({
    groupId,
    batches: Stream.fromEffectRepeat(
      Effect.map(HandOut.next(handOut, member), (entry) => toConsumed(groupId, entry))
    ),
    commit: (offsets) => Commits.commit(member, handOut, offsets),
    settled: (offsets) => Commits.settled(handOut, offsets),
    rewind: (partitions) => Moves.rewind(member, handOut, partitions),
    seek: (topicPartition, to) => Moves.seek(member, handOut, topicPartition, to),
    pause: (partitions) => pause(member, partitions ?? [...member.lanes.values()]),
    resume: (partitions) => resume(member, partitions ?? [...member.lanes.values()]),
    positions: Effect.sync(() => positionsOf(member)),
    events: Stream.fromPubSub(member.events)
  })
}

const toConsumed = (groupId: string, entry: HandOut.Entry): ConsumedBatch => {
  const { hand, round } = entry
  const { membership, nextOffset, partition, records, topic } = entry.batch
  return {
    topic,
    partition,
    records,
    // The position after the batch, past the control records that follow its last one.
    offsets: ofMember(
      groupId,
      membership,
      [{ topic, partition, lastProcessed: nextOffset - 1n }],
      () => hand.round === round
    )
  }
}
