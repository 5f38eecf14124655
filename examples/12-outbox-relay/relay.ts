/**
 * A process that relays the rows of an outbox to Kafka, each once and in their order.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cursor from "@kafka-once/core/Cursor"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TeamMember from "../teamMember.ts"

/** What a relay is to do. */
export interface Job {
  readonly brokers: ReadonlyArray<string>
  readonly database: string
  readonly driver: "kafkajs" | "platformatic"
  /** Where it stops, to be killed there. */
  readonly stopAt: "sent" | "committed" | null
}

/** What a relay tells: that it has stopped, or how far it is. */
export type Report =
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Relayed"; readonly position: string }

const perTransaction = 20

interface Row {
  readonly position: string
  readonly message: string
}

/**
 * The next rows. A sequence gives ids before their transactions commit, so that a row with a lower
 * id could appear after one with a higher id was relayed. The lock waits for those who are writing,
 * and lets no new ones in until it has read.
 */
const rowsAfter = (position: bigint) =>
  Effect.flatMap(PgClient.PgClient, (sql) =>
    sql.withTransaction(Effect.gen(function*() {
      yield* sql`lock table outbox in share mode`
      return yield* sql<Row>`
        select id::text as position, message from outbox
        where id > ${position.toString()}::bigint order by outbox.id limit ${perTransaction}`
    })))

const driverOf = (
  name: Job["driver"],
  brokers: ReadonlyArray<string>
): Layer.Layer<KafkaDriver, { readonly message: string }> =>
  name === "kafkajs" ? KafkaJs.layer({ brokers }) : Platformatic.layer({ brokers })

const stop = Effect.andThen(TeamMember.report<Report>({ _tag: "Stopped" }), Effect.never)

const work = ({ brokers, database, driver, stopAt }: Job) =>
  Effect.gen(function*() {
    // Whoever opens it next ends what this one has left open, and fences this one.
    const producer = yield* TransactionalProducer.make({ transactionalId: "outbox-relay" })
    const cursor = yield* Cursor.make({ producer, topic: "orders" })
    const relaySome = cursor.advance((position) =>
      Effect.gen(function*() {
        const rows = yield* rowsAfter(position ?? 0n)
        if (rows.length === 0) return position
        yield* Transaction.send(rows.map(({ message }) => ({
          topic: "orders",
          partition: 0,
          value: message
        })))
        if (stopAt === "sent") return yield* stop
        return BigInt(rows.at(-1)!.position)
      }), { retry: Transaction.defaultSchedule })
    let last: bigint | null = null
    while (true) {
      const position = yield* relaySome
      if (position !== last && position !== null) {
        if (stopAt === "committed") return yield* stop
        yield* TeamMember.report<Report>({ _tag: "Relayed", position: `${position}` })
      } else {
        yield* Effect.sleep("50 millis")
      }
      last = position
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(
      driverOf(driver, brokers),
      PgClient.layer({ url: Redacted.make(database) })
    ))
  )

TeamMember.run(work)
