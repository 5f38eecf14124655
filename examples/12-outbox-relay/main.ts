/**
 * An outbox: what a program has to tell is a row of the same database transaction as what it did,
 * and a relay brings the rows to Kafka. The relay is killed twice, once before its commit and once
 * after it; in the end each row is in the topic once, in the order of the table.
 *
 * Run it with `npx node --conditions=@kafka-once/source examples/12-outbox-relay/main.ts`; a driver
 * may be named after it.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Postgres from "../postgres.ts"
import * as Team from "../team.ts"
import type { Job, Report } from "./relay.ts"

const driver = process.argv[2] === "kafkajs" ? "kafkajs" : "platformatic"

const write = (count: number) =>
  Effect.flatMap(
    PgClient.PgClient,
    (sql) =>
      sql`
        insert into outbox (message)
        select 'order ' || n from generate_series(1, ${count}::int) n`
  )

/** Two writers: the one with the lower id commits last. */
const writeOutOfOrder = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  const isWritten = yield* Deferred.make<void>()
  const mayCommit = yield* Deferred.make<void>()
  const slow = yield* sql.withTransaction(
    sql`insert into outbox (message) values ('slow')`.pipe(
      Effect.andThen(Deferred.succeed(isWritten, undefined)),
      Effect.andThen(Deferred.await(mayCommit))
    )
  ).pipe(Effect.forkChild)
  yield* Deferred.await(isWritten)
  yield* sql`insert into outbox (message) values ('quick')`
  return { commit: Effect.andThen(Deferred.succeed(mayCommit, undefined), Fiber.join(slow)) }
})

/** Waits until the relay waits for those who are writing. */
const relayWaits = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  return yield* sql`select 1 from pg_locks where not granted and relation = 'outbox'::regclass`
}).pipe(
  Effect.repeat({ until: ({ length }) => length > 0, schedule: Schedule.spaced("20 millis") }),
  Effect.timeout("1 minute")
)

const run = (kafka: EmbeddedKafka.EmbeddedKafka["Service"], database: string) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    yield* sql`create table outbox (id bigserial primary key, message text not null)`
    let isStopped = false
    let relayed = 0
    const team = Team.make<Job, never, Report>(
      new URL("relay.ts", import.meta.url),
      (_, report) => {
        if (report._tag === "Stopped") isStopped = true
        else relayed = Number(report.position)
      }
    )
    const start = (name: string, stopAt: Job["stopAt"]) =>
      team.start(name, { brokers: kafka.bootstrapServers, database, driver, stopAt })
    const startAndKill = (name: string, stopAt: "sent" | "committed") =>
      Effect.gen(function*() {
        isStopped = false
        const relay = yield* start(name, stopAt)
        yield* team.until(`${name} to have ${stopAt}`, () => isStopped)
        yield* relay.kill
        yield* Console.log(`a relay was killed after it had ${stopAt}`)
      })

    yield* write(100)
    yield* startAndKill("r1", "sent")
    yield* startAndKill("r2", "committed")
    const slow = yield* writeOutOfOrder
    const relay = yield* start("r3", null)
    yield* relayWaits
    yield* slow.commit
    yield* write(100)
    yield* team.until("All rows to be relayed", () => relayed >= 202)
    yield* relay.dismiss

    const rows = yield* sql<{ readonly message: string }>`select message from outbox order by id`
    const { bootstrapServers, classPath } = kafka
    const read = yield* CommittedRecords.read({ bootstrapServers, classPath, topic: "orders" })
    const decoder = new TextDecoder()
    const seen = read.map(({ value }) => decoder.decode(value ?? undefined))
    const isSame = seen.length === rows.length &&
      rows.every(({ message }, index) => message === seen[index])
    yield* Console.log(`${rows.length} rows, ${seen.length} records, same order: ${isSame}`)
    return isSame
  }).pipe(Effect.scoped, Effect.provide(PgClient.layer({ url: Redacted.make(database) })))

const main = Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.make()
  yield* kafka.createTopic("orders")
  return yield* run(kafka, yield* Postgres.make)
}).pipe(Effect.scoped)

NodeRuntime.runMain(
  Effect.flatMap(main, (isRight) =>
    Effect.sync(() => {
      if (!isRight) process.exitCode = 1
    }))
)
