/**
 * How far a program is in a source outside of Kafka, kept in Kafka and moved by the transaction
 * that carries what it has read there.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { reasonOf } from "./internal/classify.ts"
import { CurrentCommitGuard, untainted } from "./internal/commitGuard.ts"
import * as GroupOffsets from "./internal/groupOffsets.ts"
import { guarded } from "./internal/guardedDriver.ts"
import { untilDeadline } from "./internal/repeat.ts"
import { DriverError, Failure, KafkaDriver } from "./KafkaDriver.ts"
import { KafkaError, Misconfigured, TimedOut } from "./KafkaError.ts"
import { Transaction } from "./Transaction.ts"
import type { TransactionalProducer, WithTransactionOptions } from "./TransactionalProducer.ts"
import type { TransactionOutcome } from "./TransactionOutcome.ts"

/**
 * The settings of a cursor.
 *
 * **Details**
 *
 * *Shape*: `producer` is the one that relays; its transactional id names the cursor. `topic` is an
 * existing topic, such as the one that is written to, under whose name Kafka files the position:
 * when that topic is deleted, the position is gone. It must not change.
 *
 * @category models
 * @since 0.1.0
 */
export interface CursorOptions {
  readonly producer: TransactionalProducer["Service"]
  readonly topic: string
}

/**
 * How far a program is in a source outside of Kafka.
 *
 * **When to use**
 *
 * Use it to relay an outbox table, a file or another log into Kafka exactly once. For what is read
 * from Kafka itself use `ExactlyOnce`.
 *
 * **Details**
 *
 * *Shape*
 * - `groupId`: the group that holds the position, `<transactional id>-cursor`. It has no members.
 * - `advance`: one transaction. The body is given the position, `null` where there is none yet,
 *   sends what it finds after it, and answers with the new position; both are committed, or
 *   neither. The same position as before commits what was sent and moves nothing.
 *
 * *Units and bounds*: a position is from 0 to 2^63 - 1 and never goes back. Its meaning is the
 * program's: the last id that was relayed, say.
 *
 * *Errors*: those of a transaction. A position that is lower than the last one, or out of bounds,
 * fails `Misconfigured`, and the transaction aborts.
 *
 * *Source*: KIP-98; the coordinator takes transactional offsets without a generation for a group
 * that has no members (`OffsetMetadataManager.validateTransactionalOffsetCommit`).
 *
 * **Gotchas**
 *
 * Two programs with one transactional id take turns by fencing each other; each record is still
 * written once. After `CommitOutcomeUnknown` call `advance` again: it is given the position that
 * was committed.
 *
 * Kafka forgets a position that was not written for `offsets.retention.minutes`, seven days by
 * default. A call of `advance` writes it again when an hour has passed, so that a program that
 * calls it at least once in that time never loses it.
 *
 * **Example** (Rows of a table, each once)
 *
 * ```ts
 * import * as Cursor from "@kafka-once/core/Cursor"
 * import * as Transaction from "@kafka-once/core/Transaction"
 * import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
 * import * as Effect from "effect/Effect"
 *
 * interface Row {
 *   readonly id: bigint
 *   readonly text: string
 * }
 *
 * export const relay = (rowsAfter: (id: bigint) => Effect.Effect<ReadonlyArray<Row>>) =>
 *   Effect.gen(function*() {
 *     const producer = yield* TransactionalProducer.make({ transactionalId: "relay" })
 *     const cursor = yield* Cursor.make({ producer, topic: "orders" })
 *     yield* cursor.advance((position) =>
 *       Effect.gen(function*() {
 *         const rows = yield* rowsAfter(position ?? 0n)
 *         yield* Transaction.send(rows.map(({ text }) => ({ topic: "orders", value: text })))
 *         return rows.at(-1)?.id ?? position
 *       })
 *     )
 *   })
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Cursor {
  readonly groupId: string
  readonly advance: <E, R>(
    body: Body<E, R>,
    options?: AdvanceOptions<E>
  ) => Effect.Effect<bigint | null, E | KafkaError, Exclude<R, Transaction>>
}

/**
 * What runs in a transaction of a cursor: from the position before to the position after.
 *
 * @category models
 * @since 0.1.0
 */
export type Body<E, R> = (position: bigint | null) => Effect.Effect<bigint | null, E, R>

/**
 * When to run the body again, in a new transaction and from the position of then.
 *
 * @category models
 * @since 0.1.0
 */
export type AdvanceOptions<E> = Pick<
  WithTransactionOptions<bigint | null, E | KafkaError>,
  "retry" | "retryWhile"
>

/** What a transaction that has not been looked at since has written. */
interface Move {
  readonly position: bigint
  readonly outcome: Effect.Effect<TransactionOutcome>
}

interface Known {
  /** The furthest position that is proven to be committed from here. */
  position: bigint | null
  readonly moves: Array<Move>
  writtenAtMillis: number | null
}

const maxPosition = 2n ** 63n - 1n

const rewriteAfterMillis = Duration.toMillis(Duration.hours(1))

/**
 * Makes a cursor of a producer.
 *
 * **Details**
 *
 * Nothing is sent: the position is read in each transaction, after its session has fenced every
 * older one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: CursorOptions): Effect.Effect<Cursor, never, KafkaDriver> =>
  KafkaDriver.use((unguarded) =>
    Effect.sync(() => {
      const driver = guarded(unguarded)
      const { producer, topic } = options
      const groupId = `${producer.transactionalId}-cursor`
      const known: Known = { position: null, moves: [], writtenAtMillis: null }
      const transact = <E, R>(body: Body<E, R>) =>
        Effect.gen(function*() {
          const transaction = yield* Transaction
          const position = yield* read(driver, groupId, topic, known)
          const next = yield* body(position)
          if (next === null && position === null) return null
          yield* requireForward(position, next)
          const now = yield* Clock.currentTimeMillis
          if (next === null || (next === position && !isStale(known, now))) return next
          yield* transaction.sendOffsets(GroupOffsets.ofCursor(groupId, topic, next))
          known.moves.push({ position: next, outcome: transaction.outcome })
          known.writtenAtMillis = now
          return next
        })
      return {
        groupId,
        advance: <E, R>(body: Body<E, R>, options?: AdvanceOptions<E>) =>
          Effect.suspend(() => {
            // The body cannot see the offsets being refused: they are the cursor's, and go last.
            let refused: KafkaError | null = null
            const attempt = Effect.suspend(() => {
              refused = null
              return transact(body)
            })
            return producer.withTransaction<bigint | null, E | KafkaError, R | Transaction>(
              attempt,
              options
            ).pipe(
              Effect.provideService(CurrentCommitGuard, {
                fences: false,
                beforeCommit: Effect.void,
                failed: (error) => {
                  if (error.operation === "sendOffsets") refused ??= error
                }
              }),
              Effect.mapError((error) => untainted(error, refused))
            )
          })
      }
    })
  )

const isStale = ({ writtenAtMillis }: Known, now: number): boolean =>
  writtenAtMillis === null || now - writtenAtMillis >= rewriteAfterMillis

const requireForward = (
  position: bigint | null,
  next: bigint | null
): Effect.Effect<void, KafkaError> => {
  const problem = next === null
    ? `must not be forgotten, it was ${position}`
    : next < 0n || next > maxPosition
    ? "must be from 0 to 2^63 - 1"
    : position !== null && next < position
    ? `must not go back, it was ${position}`
    : null
  return problem === null ? Effect.void : Effect.fail(
    new KafkaError({
      operation: "sendOffsets",
      reason: new Misconfigured({ setting: "position", value: `${next}`, problem })
    })
  )
}

/**
 * Reads the position inside of a transaction, and that is what makes it safe. The session of the
 * transaction has ended everything that older ones left, so that none of it can move the position
 * any more; a newer session fences this one, and then the commit is refused. A position from before
 * the begin could be one that another program has passed since: where this producer replaced its
 * session in between, it would be the newer one, and relay the same again.
 *
 * A commit is answered before its markers are written, so that a client without stable offsets may
 * be told the position before it. What this cursor itself has committed is never gone back behind.
 */
const read = (
  driver: KafkaDriver["Service"],
  groupId: string,
  topic: string,
  known: Known
): Effect.Effect<bigint | null, KafkaError> =>
  Effect.gen(function*() {
    // One transaction at a time: every earlier one has its outcome by now.
    for (const { outcome, position } of known.moves.splice(0)) {
      if ((yield* outcome)._tag === "Committed") known.position = laterOf(position, known.position)
    }
    const [committed] = yield* untilDeadline({
      request: "OffsetFetch",
      limit: readLimit,
      attempt: Effect.timeoutOrElse(driver.committedOffsets(groupId, [{ topic, partition: 0 }]), {
        duration: requestLimit,
        orElse: () => Effect.fail(noAnswer)
      }),
      // It is asked outside of the session.
      onUnanswered: () => {}
    }).pipe(
      Effect.mapError((error) =>
        new KafkaError({
          operation: "begin",
          reason: error._tag === "Exhausted"
            ? new TimedOut({
              request: error.request,
              afterMillis: error.afterMillis,
              last: error.lastText
            })
            : reasonOf(error, { groupId, topics: [topic] })
        })
      )
    )
    return laterOf(committed?.offset ?? null, known.position)
  })

const requestLimit = Duration.seconds(3)
const readLimit = Duration.seconds(6)

const noAnswer = new DriverError({
  request: "OffsetFetch",
  failure: Failure.NoAnswer(),
  detail: "no answer"
})

const laterOf = (one: bigint | null, other: bigint | null): bigint | null =>
  one === null || (other !== null && other > one) ? other : one
