/**
 * Which open transactions nobody will end.
 *
 * A coordinator writes markers to the partitions that it has in a transaction, and to no other. So
 * an open transaction hangs when no coordinator has its producer id, or the one that does has not
 * got the partition. What is asked is of different moments, which the order makes up for: the
 * partition, the coordinators, and the partition once more. What was open before and is open after
 * with the same first offset was open all the time, and a coordinator forgets a partition only when
 * its marker is written.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TopicPartition from "../../TopicPartition.ts"
import type { ProducerState, TransactionDescription } from "../../TransactionAdminDriver.ts"
import {
  type HangingTransaction,
  Incomplete,
  NotAuthorized,
  type TransactionAdminError
} from "../../TransactionAdminError.ts"
import { aboutId, aboutPartition, ask, attempt, type Call, failed, half } from "./ask.ts"
import { askTopics, list, requireCoordinators } from "./listing.ts"
import { type Missing, roundOfBrokers, toldOf, untilComplete } from "./rounds.ts"

/** A transaction that is open in a partition. */
export interface Candidate extends ProducerState, TopicPartition.TopicPartition {
  readonly startOffset: bigint
}

/** Partitions that one request is about at most. */
const partitionsAtOnce = 500

type Described = TopicPartition.TopicPartition & {
  readonly producers: ReadonlyArray<ProducerState>
}

/** What the leaders of partitions know. Only those that have not answered are asked again. */
export const describeAll = (
  call: Call,
  partitions: ReadonlyArray<TopicPartition.TopicPartition>
) =>
  Effect.suspend(() => {
    const found: Array<Described> = []
    let open = partitions
    const round = Effect.gen(function*() {
      const missing: Array<Missing> = []
      const left: Array<TopicPartition.TopicPartition> = []
      for (let at = 0; at < open.length; at += partitionsAtOnce) {
        const some = open.slice(at, at + partitionsAtOnce)
        const answers = yield* attempt(
          call,
          "DescribeProducers",
          () => call.driver.producers(some)
        ).pipe(
          Effect.catch((error) => Effect.succeed(some.map(() => Result.fail(error))))
        )
        for (const [index, one] of some.entries()) {
          const answer = answers[index]!
          if (Result.isSuccess(answer)) found.push({ ...one, producers: answer.success })
          else {
            left.push(one)
            missing.push({ about: aboutPartition(one.topic, one.partition), error: answer.failure })
          }
        }
      }
      open = left
      return { found, missing }
    })
    return partitions.length === 0
      ? Effect.succeed({ found, missing: [] })
      : untilComplete(call, "DescribeProducers", round)
  })

/** The transactions that are open in the partitions. */
export const openIn = (described: ReadonlyArray<Described>): ReadonlyArray<Candidate> =>
  described.flatMap(({ partition, producers, topic }) =>
    producers.flatMap((state) =>
      state.startOffset === null
        ? []
        : [{ topic, partition, ...state, startOffset: state.startOffset }]
    )
  )

/** What became of a candidate: it hangs, it has ended meanwhile, or its coordinator has it. */
export type Verdict =
  | { readonly _tag: "Hanging"; readonly transaction: HangingTransaction }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Alive"; readonly description: TransactionDescription }

/** A verdict for each candidate, in order. Where anything could not be asked there is none. */
export const judge = Effect.fnUntraced(function*(
  call: Call,
  candidates: ReadonlyArray<Candidate>
): Effect.fn.Return<ReadonlyArray<Verdict>, TransactionAdminError> {
  if (candidates.length === 0) return []
  const producerIds = [...new Set(candidates.map(({ producerId }) => producerId))]
  const listed = yield* list(call, { producerIds })
  yield* requireCoordinators(call)
  const idOf = new Map(listed.map((one) => [one.producerId, one.transactionalId]))
  if (producerIds.some((producerId) => !idOf.has(producerId))) yield* requireSight(call)
  const descriptions = new Map(
    yield* Effect.forEach(
      new Set(idOf.values()),
      (id) => Effect.map(describeIfKnown(call, id), (description) => [id, description] as const),
      { concurrency: 8 }
    )
  )
  const aliveOf = (candidate: Candidate): TransactionDescription | null => {
    const description = descriptions.get(idOf.get(candidate.producerId) ?? "") ?? null
    return description !== null && has(description, candidate) ? description : null
  }
  const suspects = candidates.filter((candidate) => aliveOf(candidate) === null)
  const { found, missing } = yield* describeAll(call, suspects)
  if (missing.length > 0) {
    return yield* failed(
      call,
      new Incomplete({ missing: toldOf(missing), transactions: [], hanging: [] })
    )
  }
  const still = new Set(openIn(found).map(keyOf))
  return candidates.map((candidate): Verdict => {
    const description = aliveOf(candidate)
    if (description !== null) return { _tag: "Alive", description }
    if (!still.has(keyOf(candidate))) return { _tag: "Ended" }
    const transactionalId = idOf.get(candidate.producerId) ?? null
    return { _tag: "Hanging", transaction: { ...candidate, transactionalId } }
  })
})

const has = (
  { partitions, producerId }: TransactionDescription,
  candidate: Candidate
): boolean =>
  producerId === candidate.producerId &&
  partitions.some(({ partition, topic }) =>
    topic === candidate.topic && partition === candidate.partition
  )

const keyOf = (candidate: Candidate): string =>
  `${TopicPartition.toKey(candidate)}/${candidate.producerId}/${candidate.startOffset}`

const describeIfKnown = (call: Call, id: string) =>
  ask(call, "DescribeTransactions", aboutId(id), () => call.driver.describe(id)).pipe(
    Effect.catchIf(
      ({ reason }) => reason._tag === "UnknownTransactionalId",
      () => Effect.succeed(null)
    )
  )

/**
 * Makes sure that this principal sees all transactional ids. A broker leaves those that it may not
 * describe out of its lists without a word, so that a transaction in good order would look like one
 * that nobody knows. An id that nobody has is refused, too, where the right is not on all of them.
 */
const requireSight = (call: Call): Effect.Effect<void, TransactionAdminError> =>
  describeIfKnown(call, nobodysId).pipe(
    Effect.mapError((error) =>
      error.reason._tag === "NotAuthorized"
        ? failed(call, new NotAuthorized({ request: error.reason.request, needs: rightToSeeAll }))
        : error
    ),
    Effect.asVoid
  )

const nobodysId = "kafka-once: may all transactional ids be described?"

const rightToSeeAll = "Describe on all transactional ids (*): a transaction whose id it may not " +
  "see would look like one that hangs"

/** The hanging ones in these topics, or in all of them. */
export const find = Effect.fnUntraced(function*(
  call: Call,
  names: ReadonlyArray<string> | null,
  olderThanMillis: number | null
): Effect.fn.Return<ReadonlyArray<HangingTransaction>, TransactionAdminError> {
  const topics = yield* askTopics(call, names)
  const partitions = topics.flatMap(({ partitionCount, topic }) =>
    Array.from({ length: partitionCount }, (_, partition) => ({ topic, partition }))
  )
  const described = yield* half(call, (call) => describeAll(call, partitions))
  const limitMillis = olderThanMillis ?? (yield* maxTransactionTimeout(call))
  const now = yield* Clock.currentTimeMillis
  const candidates = openIn(described.found)
    .filter(({ lastTimestampMillis }) => now - lastTimestampMillis > limitMillis)
  const verdicts = yield* judge(call, candidates)
  const hanging = verdicts.flatMap((one) => one._tag === "Hanging" ? [one.transaction] : [])
  if (described.missing.length === 0) return hanging
  return yield* failed(
    call,
    new Incomplete({ missing: toldOf(described.missing), transactions: [], hanging })
  )
})

/** The longest that any broker that answers allows a transaction to take. */
const maxTransactionTimeout = (call: Call) =>
  Effect.map(
    untilComplete(
      call,
      "DescribeConfigs",
      Effect.map(
        roundOfBrokers(
          call,
          "DescribeConfigs",
          (brokerId) => call.driver.maxTransactionTimeoutMillis(brokerId)
        ),
        // One that answers is enough: it is the same on all of them, but for a moment.
        ({ found, missing }) => ({ found, missing: found.length > 0 ? [] : missing })
      )
    ),
    ({ found }) => Math.max(...found)
  )
