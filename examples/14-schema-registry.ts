/**
 * A topic whose values are in Avro, with their schemas in a schema registry: the wire format of
 * Confluent's clients, which most tools read and write.
 *
 * `Topic` has a hook for this: a codec is two effects from and to bytes, and may ask a registry.
 * The one here is in `confluentAvro.ts`. What cannot be decoded is a dead letter; a registry that
 * does not answer is waited for.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Consumer from "@kafka-once/core/Consumer"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Broker from "./broker.ts"
import * as ConfluentAvro from "./confluentAvro.ts"
import * as SchemaRegistry from "./schemaRegistry.ts"

/** How the sensors of last year write, and those of today. */
const lastYears = {
  type: "record" as const,
  name: "Reading",
  fields: [{ name: "celsius", type: "double" as const }]
}
const todays = {
  ...lastYears,
  fields: [...lastYears.fields, { name: "site", type: "string" as const, default: "unknown" }]
}

const Reading = Schema.Struct({ celsius: Schema.Finite, site: Schema.String })

const program = Effect.gen(function*() {
  const registry = yield* SchemaRegistry.serve
  const { codec } = yield* ConfluentAvro.make(registry.url)
  const readings = Topic.make({
    name: "readings",
    key: Topic.text,
    value: codec({ of: "value", avro: todays, schema: Reading })
  })
  const old = Topic.make({
    name: "readings",
    key: Topic.text,
    value: codec({
      of: "value",
      avro: lastYears,
      schema: Schema.Struct({ celsius: Schema.Finite })
    })
  })

  const write = Effect.gen(function*() {
    const producer = yield* TransactionalProducer.make({ transactionalId: "example-14-sensors" })
    const records = yield* Effect.all([
      Topic.record(old, { key: "a", value: { celsius: 21 } }),
      Topic.record(readings, { key: "b", value: { celsius: 99, site: "Oslo" } }),
      Topic.record(old, { key: "a", value: { celsius: 87 } })
    ])
    yield* Transaction.send([
      ...records,
      { topic: "readings", key: "c", value: `{"celsius":3}` },
      { topic: "readings", key: "d", value: Uint8Array.of(0, 0, 0, 3, 231, 1, 2) }
    ]).pipe(producer.withTransaction())
  }).pipe(Effect.scoped)

  const pipeline = ExactlyOnce.run({
    groupId: "example-14",
    input: readings,
    deadLetterTopic: "readings-dead",
    process: ExactlyOnce.eachRecord(({ key, value: { celsius, site } }) =>
      Effect.succeed(
        celsius > 80 ? [{ topic: "alarms", key, value: `${celsius} degrees, ${site}` }] : []
      )
    )
  })

  /** Prints so many records of a topic. */
  const print = (
    topic: string,
    count: number,
    line: (of: Consumer.ConsumedBatch) => ReadonlyArray<string>
  ) =>
    Effect.gen(function*() {
      const consumer = yield* Consumer.make({ groupId: `example-14-${topic}`, topics: [topic] })
      yield* consumer.batches.pipe(
        Stream.flatMap((batch) => Stream.fromIterable(line(batch))),
        Stream.take(count),
        Stream.runForEach((text) => Console.log(`${topic}: ${text}`))
      )
    }).pipe(Effect.scoped)

  const text = (bytes: Uint8Array | null | undefined) =>
    new TextDecoder().decode(bytes ?? undefined)

  yield* write
  yield* Effect.raceFirst(
    pipeline,
    Effect.gen(function*() {
      yield* print("alarms", 2, ({ records }) => records.map(({ value }) => text(value)))
      yield* print(
        "readings-dead",
        2,
        ({ records }) =>
          records.map(({ headers }) =>
            text(headers.find(([name]) => name === "kafka-once.dead-letter.message")?.[1])
          )
      )
    })
  )
  yield* Console.log(`the registry was asked ${registry.requests().length} times`)
}).pipe(Effect.scoped)

NodeRuntime.runMain(
  program.pipe(
    Effect.provide(Layer.merge(
      FetchHttpClient.layer,
      Broker.driverWith("readings", "alarms", "readings-dead")
    ))
  )
)

// => alarms: 99 degrees, Oslo
// => alarms: 87 degrees, unknown
// => readings-dead: the value is not in the wire format of a schema registry
// => readings-dead: the value names schema 999, which the registry does not know
// => the registry was asked 5 times
