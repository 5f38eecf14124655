/**
 * Results outside of Kafka: payments are booked in PostgreSQL, each once. One worker is killed when
 * it has inserted and not committed, one when it has committed and not told Kafka, and a zombie
 * goes on with a batch that another worker has booked since.
 *
 * Run it with `npx node --conditions=@kafka-once/source examples/11-results-in-postgres/main.ts`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Postgres from "../postgres.ts"
import * as Team from "../team.ts"
import type { Job, Order, Report } from "./worker.ts"

const payments = 1_000
const total = payments * (payments - 1) / 2

/** Pays, and takes every tenth payment back before it is committed. */
const pay = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.make({ transactionalId: "customers" })
  const send = (first: number, count: number) =>
    Transaction.send(Array.from({ length: count }, (_, index) => ({
      topic: "payments",
      key: `customer ${index}`,
      value: String(first + index)
    })))
  for (let first = 0; first < payments; first += 100) {
    yield* send(first, 100).pipe(producer.withTransaction({ retry: Transaction.defaultSchedule }))
    const taken = yield* Effect.exit(
      Effect.andThen(send(1_000_000, 10), Effect.fail("taken back")).pipe(
        producer.withTransaction()
      )
    )
    if (Exit.isSuccess(taken)) return yield* Effect.die("an aborted transaction has succeeded")
  }
}).pipe(Effect.scoped)

const tables = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  yield* sql`create table positions (
    topic text, partition int, next bigint not null, primary key (topic, partition))`
  // A record is its topic, partition and offset; a second booking of one is an error.
  yield* sql`create table bookings (
    topic text, partition int, position bigint, amount int not null,
    primary key (topic, partition, position))`
})

const run = (brokers: ReadonlyArray<string>, database: string) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    yield* tables
    yield* pay
    const stopped = new Map<string, number>()
    const booked = new Map<string, ReadonlyArray<number>>()
    const team = Team.make<Job, Order, Report>(
      new URL("worker.ts", import.meta.url),
      (name, report) => {
        if (report._tag === "Stopped") stopped.set(name, report.pid)
        else booked.set(name, [...booked.get(name) ?? [], report.records])
      }
    )
    const start = (name: string, stopAt: Job["stopAt"]) =>
      team.start(name, { brokers, database, stopAt })
    const startAndStop = (name: string, stopAt: Exclude<Job["stopAt"], null>) =>
      Effect.gen(function*() {
        const worker = yield* start(name, stopAt)
        yield* team.until(`${name} to have ${stopAt}`, () => stopped.has(name))
        return worker
      })
    const counts = Effect.map(
      sql<{ readonly count: number; readonly sum: number }>`
        select count(*)::int as count, coalesce(sum(amount), 0)::int as sum from bookings`,
      ([row]) => row!
    )

    for (const stopAt of ["inserted", "booked"] as const) {
      const worker = yield* startAndStop(`w-${stopAt}`, stopAt)
      yield* worker.kill
      yield* Console.log(`a worker was killed after it had ${stopAt}`)
    }
    // It has fetched, and is frozen until another worker has booked everything.
    const zombie = yield* startAndStop("zombie", "fetched")
    const pid = stopped.get("zombie")!
    yield* signal(pid, "SIGSTOP")
    yield* Console.log("a worker was frozen after it had fetched")
    const bookedBefore = booked.get("zombie")?.length ?? 0
    // Those who are gone have booked some, and the zombie itself has.
    const before = (yield* counts).count
    const heir = yield* start("heir", null)
    yield* team.until(
      "The rest to be booked",
      () =>
        before + (booked.get("heir") ?? []).reduce((sum, records) => sum + records, 0) >= payments
    )
    yield* signal(pid, "SIGCONT")
    yield* zombie.tell("go on")
    yield* team.until(
      "The zombie to go on",
      () => (booked.get("zombie")?.length ?? 0) > bookedBefore
    )
    yield* Console.log(`the zombie went on and booked ${booked.get("zombie")?.[bookedBefore]}`)
    yield* heir.dismiss
    const { count, sum } = yield* counts
    yield* Console.log(
      `${payments} payments, ${count} bookings, the sum is right: ${sum === total}`
    )
    return count === payments && sum === total
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(
      Platformatic.layer({ brokers }),
      PgClient.layer({ url: Redacted.make(database) })
    ))
  )

const signal = (pid: number, name: NodeJS.Signals) => Effect.sync(() => process.kill(pid, name))

const main = Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.make()
  yield* kafka.createTopic("payments")
  return yield* run(kafka.bootstrapServers, yield* Postgres.make)
}).pipe(Effect.scoped)

NodeRuntime.runMain(
  Effect.flatMap(main, (isRight) =>
    Effect.sync(() => {
      if (!isRight) process.exitCode = 1
    }))
)
