/**
 * A process that books payments in a database: the bookings of a batch and the offset after it in
 * one database transaction.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Consumer from "@kafka-once/core/Consumer"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TeamMember from "../teamMember.ts"

/** What a worker is to do. */
export interface Job {
  readonly brokers: ReadonlyArray<string>
  readonly database: string
  /** Where it stops, to be killed or frozen there. */
  readonly stopAt: "fetched" | "inserted" | "booked" | null
}

/** What a worker tells: that it has stopped, or how many records it has booked. */
export type Report =
  | { readonly _tag: "Stopped"; readonly pid: number }
  | { readonly _tag: "Booked"; readonly records: number }

/** Ends a stop. */
export type Order = "go on"

/** Some batches have been booked by then, and some have not. */
const halfWay = 500n

const decoder = new TextDecoder()

let goOn = () => {}
const stop = Effect.andThen(
  TeamMember.report<Report>({ _tag: "Stopped", pid: process.pid }),
  Effect.callback<void>((resume) => {
    goOn = () => resume(Effect.void)
  })
)

/**
 * Books a batch, and answers with how many of its records were new. The row of the partition is
 * locked first, so that two workers that think that they own it take turns; whoever comes second
 * finds the position of the first, and leaves out what is below it.
 */
const book = (
  { offsets, partition, records, topic }: Consumer.ConsumedBatch,
  stopAt: Job["stopAt"]
) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    yield* sql`
      insert into positions (topic, partition, next) values (${topic}, ${partition}, 0)
      on conflict do nothing`
    const [row] = yield* sql<{ readonly next: string }>`
      select next::text from positions
      where topic = ${topic} and partition = ${partition} for update`
    const next = BigInt(row!.next)
    const unseen = records.filter(({ offset }) => offset >= next)
    if (Arr.isReadonlyArrayNonEmpty(unseen)) {
      yield* sql`insert into bookings ${
        sql.insert(Arr.map(unseen, ({ offset, value }) => ({
          topic,
          partition,
          position: offset.toString(),
          amount: Number(decoder.decode(value ?? undefined))
        })))
      }`
    }
    if (stopAt === "inserted") yield* stop
    const after = offsets.offsets[0]!.lastProcessed + 1n
    yield* sql`
      update positions set next = greatest(next, ${after.toString()}::bigint)
      where topic = ${topic} and partition = ${partition}`
    return unseen.length
  })

const work = ({ brokers, database, stopAt }: Job) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    const consumer = yield* Consumer.make({
      groupId: "bookings",
      topics: ["payments"],
      // Short, so that the partitions of a dead worker move while one watches.
      sessionTimeout: "6 seconds",
      heartbeatInterval: "1 second",
      // Small, so that there are many batches to be killed between.
      maxPartitionFetchBytes: 1_000
    })
    yield* Stream.runForEach(consumer.batches, (batch) =>
      Effect.gen(function*() {
        if (stopAt === "fetched" && batch.records[0]!.offset >= halfWay) yield* stop
        const booked = yield* sql.withTransaction(book(batch, stopAt))
        if (stopAt === "booked") yield* stop
        yield* TeamMember.report<Report>({ _tag: "Booked", records: booked })
        // What counts is the database. The group's offset only saves reading it all again, and may
        // lag behind; it is refused where the partition has another owner by now.
        yield* Effect.catch(
          consumer.commit(batch.offsets),
          (error) => error.reason._tag === "ConsumerFenced" ? Effect.void : Effect.fail(error)
        )
      }))
    return yield* Effect.never
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(
      Platformatic.layer({ brokers }),
      PgClient.layer({ url: Redacted.make(database) })
    ))
  )

TeamMember.run<Job, Order, unknown>(work, () => goOn())
