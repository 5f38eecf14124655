import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { nameOf } from "../../ErrorCode.ts"
import type { Settings } from "../../ExactlyOnceOptions.ts"
import type { GroupOffsets } from "../../GroupOffsets.ts"
import { ConsumerFenced, KafkaError } from "../../KafkaError.ts"
import { Transaction } from "../../Transaction.ts"
import type { TransactionalProducer } from "../../TransactionalProducer.ts"
import { CurrentCommitGuard, untainted } from "../commitGuard.ts"
import type { Member } from "../consumer/member.ts"
import { reasonIn } from "../consumer/member.ts"
import { ofMember } from "../groupOffsets.ts"
import type { PipelineMetrics } from "./pipelineMetrics.ts"
import { type PartFailed, processPart } from "./processPart.ts"
import type { Part } from "./workLane.ts"

/**
 * One transaction: the parts are processed side by side, and their results, dead letters and
 * offsets are committed together or not at all.
 *
 * The order of its commit: sends are drained; nothing may have been lost; the offsets; a heartbeat
 * where the group does not fence; EndTxn. Then the caller moves the positions.
 */
export const transact = <K, V, E, R>(
  settings: Settings<K, V, E, R>,
  metrics: PipelineMetrics,
  producer: TransactionalProducer["Service"],
  parts: ReadonlyArray<Part>
): Effect.Effect<void, PartFailed<E> | KafkaError, Exclude<R, Transaction>> =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeMillis
    const body = Effect.gen(function*() {
      const transaction = yield* Transaction
      yield* Effect.forEach(
        parts,
        (part) => processPart(settings, metrics, transaction, part),
        { concurrency: "unbounded", discard: true }
      )
      yield* requireOwned(settings.groupId, parts)
      yield* transaction.sendOffsets(offsetsOf(settings.groupId, parts))
    })
    const { member } = parts[0]!.work
    let first: KafkaError | null = null
    yield* producer.withTransaction(body).pipe(
      Effect.provideService(CurrentCommitGuard, {
        fences: true,
        beforeCommit: Effect.andThen(
          member.driver.capabilities.groupFencing ? Effect.void : heartbeat(member, parts),
          requireOwned(settings.groupId, parts)
        ),
        failed: (error) => {
          first ??= error
        }
      }),
      Effect.mapError((error) => untainted(error, first)),
      Effect.ensuring(
        Effect.flatMap(
          Clock.currentTimeMillis,
          (endedAt) => Metric.update(metrics.batchDuration, endedAt - startedAt)
        )
      )
    )
  })

const fenced = (groupId: string, code: number): KafkaError =>
  new KafkaError({
    operation: "commit",
    reason: new ConsumerFenced({ groupId, code, name: nameOf(code) })
  })

const ILLEGAL_GENERATION = 22
const REBALANCE_IN_PROGRESS = 27

const requireOwned = (
  groupId: string,
  parts: ReadonlyArray<Part>
): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() =>
    parts.some(({ work }) => work.lane.state === "lost")
      ? Effect.fail(fenced(groupId, ILLEGAL_GENERATION))
      : Effect.void
  )

/**
 * Asks the group whether it still knows this member. A rebalance that waits for it is no loss:
 * until the member lets go, nobody else has its partitions.
 */
const heartbeat = (
  member: Member,
  parts: ReadonlyArray<Part>
): Effect.Effect<void, KafkaError> =>
  Effect.catch(parts[0]!.work.lane.session.heartbeat, (error) => {
    const { failure } = error
    const isHeld = member.driver.capabilities.revocationHold &&
      failure._tag === "Answered" && failure.code === REBALANCE_IN_PROGRESS
    return isHeld
      ? Effect.void
      : Effect.fail(new KafkaError({ operation: "commit", reason: reasonIn(member, error) }))
  })

/**
 * The offsets of all parts under the membership of now: each has been owned without a break since
 * its records were fetched.
 */
const offsetsOf = (groupId: string, parts: ReadonlyArray<Part>): GroupOffsets =>
  ofMember(
    groupId,
    parts[0]!.work.lane.membership,
    parts.map(({ next, work }) => ({
      topic: work.lane.topic,
      partition: work.lane.partition,
      lastProcessed: next - 1n
    }))
  )
