/**
 * Fetching ahead: one request at a time to each node that leads an owned partition.
 */
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import {
  type ConsumerSession,
  type ConsumerSessionOptions,
  SessionEvent
} from "../../ConsumerDriver.ts"
import { DriverError, Failure } from "../../DriverError.ts"
import type { EncodedBatch, GroupProtocol, PartitionFetch } from "../../GroupProtocol.ts"
import * as ReadCommitted from "../../ReadCommitted.ts"
import * as TopicPartition from "../../TopicPartition.ts"
import { verdictOf } from "../classify.ts"
import type { Health } from "./health.ts"
import type { Encoded, OwnedPartitions, Wanted } from "./ownedPartitions.ts"

const offsetOutOfRange = 1
const leaderNotAvailable = 5

const firstPauseMillis = 100
const longestPauseMillis = 1_000

export const run = Effect.fnUntraced(function*(
  protocol: GroupProtocol,
  options: ConsumerSessionOptions,
  owned: OwnedPartitions,
  events: Queue.Queue<SessionEvent, DriverError>,
  health: Health
): Effect.fn.Return<Pick<ConsumerSession, "seek">, never, Scope.Scope> {
  const leaders = new Map<string, number>()
  const leaderOf = (topicPartition: TopicPartition.TopicPartition): number | undefined =>
    leaders.get(TopicPartition.toKey(topicPartition))
  const forget = (topicPartition: TopicPartition.TopicPartition): void => {
    leaders.delete(TopicPartition.toKey(topicPartition))
  }

  const learn = Effect.map(protocol.leaders(options.topics), (topics) => {
    for (const { leaders: nodes, topic } of topics) {
      nodes.forEach((node, partition) => {
        if (node !== null) leaders.set(TopicPartition.toKey({ topic, partition }), node)
      })
    }
    health.answered("metadata")
    owned.signal.changed()
  })

  /** Repeats until the leader of every owned partition is known. */
  const learnAll = Effect.gen(function*() {
    for (let pause = firstPauseMillis;; pause = longerThan(pause)) {
      yield* learn.pipe(
        Effect.catch((error) => Effect.sync(() => health.failed("metadata", error)))
      )
      if (owned.all().every((one) => leaderOf(one) !== undefined)) return
      yield* Effect.sleep(pause)
    }
  })

  const keep = (wanted: Wanted, answer: PartitionFetch): void => {
    owned.note(wanted, {
      highWatermark: answer.highWatermark,
      lastStableOffset: answer.lastStableOffset
    })
    for (const batch of batchesOf(answer, wanted.offset, options)) owned.store(wanted, batch)
  }

  /** Answers whether the partition goes on without a pause. */
  const handle = (
    wanted: Wanted,
    answer: PartitionFetch | undefined
  ): Effect.Effect<boolean, DriverError> => {
    // Sought or lost meanwhile: it is another partition's answer now.
    if (!owned.isCurrent(wanted)) return Effect.succeed(true)
    const code = answer === undefined ? leaderNotAvailable : answer.code
    if (answer !== undefined && code === 0) {
      keep(wanted, answer)
      return Effect.succeed(true)
    }
    if (code === offsetOutOfRange) {
      owned.stop(wanted)
      return Effect.as(
        Queue.offer(
          events,
          SessionEvent.OutOfRange({
            topicPartition: { topic: wanted.topic, partition: wanted.partition },
            position: wanted.offset
          })
        ),
        true
      )
    }
    const error = refused("Fetch", code, wanted)
    if (isRefused(error)) return Effect.fail(error)
    forget(wanted)
    health.failed("metadata", error)
    return Effect.succeed(false)
  }

  const fetchOnce = (node: number, wanted: ReadonlyArray<Wanted>) =>
    protocol.fetch(node, {
      isolation: options.isolation,
      maxWaitMillis: options.maxFetchWaitMillis,
      maxBytes: options.maxFetchBytes,
      maxPartitionBytes: options.maxPartitionFetchBytes,
      partitions: wanted
    }).pipe(
      Effect.matchEffect({
        onFailure: (error) => {
          if (isRefused(error)) return Effect.fail(error)
          wanted.forEach(forget)
          health.failed(node, error)
          return Effect.succeed(false)
        },
        onSuccess: (answers) => {
          health.answered(node)
          const byKey = new Map(answers.map((one) => [TopicPartition.toKey(one), one]))
          return Effect.map(
            Effect.forEach(wanted, (one) => handle(one, byKey.get(TopicPartition.toKey(one)))),
            (all) => all.every((isFine) => isFine)
          )
        }
      }),
      Effect.ensuring(Effect.sync(() => owned.endFetch(wanted)))
    )

  const fetchFrom = (node: number) =>
    Effect.gen(function*() {
      for (let pause = firstPauseMillis;;) {
        const wanted = yield* owned.signal.until(() => {
          const found = owned.startFetch((one) => leaderOf(one) === node)
          return found.length === 0 ? undefined : found
        })
        if (yield* fetchOnce(node, wanted)) {
          pause = firstPauseMillis
        } else {
          yield* Effect.sleep(pause)
          pause = longerThan(pause)
        }
      }
    })

  const nodes = yield* FiberMap.make<number, never, DriverError>()
  const over = (error: DriverError) => Effect.asVoid(Queue.fail(events, error))

  const supervise = Effect.gen(function*() {
    for (;;) {
      yield* owned.signal.until(() =>
        owned.all().some((one) => {
          const leader = leaderOf(one)
          return leader === undefined || !FiberMap.hasUnsafe(nodes, leader)
        }) || undefined
      )
      yield* learnAll
      for (const node of new Set(leaders.values())) {
        yield* FiberMap.run(nodes, node, Effect.tapError(fetchFrom(node), over), {
          onlyIfMissing: true
        })
      }
    }
  })
  yield* Effect.forkScoped(supervise)

  const lookUp = (topicPartition: TopicPartition.TopicPartition, at: "earliest" | "latest") =>
    Effect.gen(function*() {
      if (leaderOf(topicPartition) === undefined) yield* learn
      const leader = leaderOf(topicPartition)
      if (leader === undefined) {
        return yield* refused("Metadata", leaderNotAvailable, topicPartition)
      }
      return yield* Effect.tapError(
        protocol.listOffset(leader, topicPartition, at, options.isolation),
        () => Effect.sync(() => forget(topicPartition))
      )
    })

  return {
    seek: (topicPartition, to) =>
      typeof to === "bigint"
        ? Effect.sync(() => owned.startAt(topicPartition, to))
        : Effect.andThen(
          // What was fetched before is dropped at once, also where the look-up fails.
          Effect.sync(() => owned.stop(topicPartition)),
          Effect.map(lookUp(topicPartition, to), (offset) => owned.startAt(topicPartition, offset))
        )
  }
})

const longerThan = (pause: number): number => Math.min(pause * 2, longestPauseMillis)

/**
 * How many records are handed out in one batch, where the log's own batches are smaller: what is
 * handed out is decoded.
 */
const recordsPerBatch = 1_000

/**
 * What a fetch answered of a partition, in batches that follow on each other. The last one ends
 * behind everything that was answered, so that what is filtered out is not fetched again.
 */
const batchesOf = (
  { aborted, batches }: PartitionFetch,
  from: bigint,
  { isolation }: ConsumerSessionOptions
): ReadonlyArray<Encoded> => {
  const last = batches.at(-1)
  if (last === undefined || last.lastOffset < from) return []
  const visible: ReadonlyArray<EncodedBatch> = isolation === "read_committed"
    ? ReadCommitted.filter(batches, aborted)
    : batches.filter(({ control }) => control === null)
  const encoded: Array<Encoded> = []
  let position = from
  let group: Array<EncodedBatch> = []
  const close = (nextOffset: bigint): void => {
    encoded.push(join(position, nextOffset, group))
    position = nextOffset
    group = []
  }
  let count = 0
  for (const batch of visible) {
    if (count >= recordsPerBatch) {
      close(group.at(-1)!.lastOffset + 1n)
      count = 0
    }
    group.push(batch)
    count += batch.count
  }
  close(last.lastOffset + 1n)
  return encoded
}

const join = (
  position: bigint,
  nextOffset: bigint,
  batches: ReadonlyArray<EncodedBatch>
): Encoded => ({
  position,
  nextOffset,
  count: batches.reduce((sum, { count }) => sum + count, 0),
  bytes: batches.reduce((sum, { bytes }) => sum + bytes, 0),
  records: batches.length === 1
    ? batches[0]!.records
    : Effect.map(Effect.forEach(batches, ({ records }) => records), (all) => all.flat())
})

const refused = (
  request: "Fetch" | "Metadata",
  code: number,
  { partition, topic }: TopicPartition.TopicPartition
): DriverError =>
  new DriverError({
    request,
    failure: Failure.Answered({ code }),
    detail: `The partition ${partition} of the topic "${topic}"`
  })

/** An answer that stays the same. What cannot be read is fetched again. */
const isRefused = (error: DriverError): boolean =>
  error.failure._tag === "Answered" && verdictOf(error) === "reconfigure"
