/**
 * The works that need a broker: the library over kafkajs beside raw kafkajs.
 */
import type { KafkaError } from "@kafka-once/core/KafkaError"
import type { ProducerRecord } from "@kafka-once/core/ProducerRecord"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import type { Length } from "./Arguments.ts"
import type { Line } from "./Figure.ts"
import * as RawKafkaJs from "./RawKafkaJs.ts"
import * as Records from "./Records.ts"
import * as Rounds from "./Rounds.ts"

type Kafka = EmbeddedKafka["Service"]

const unit = "transactions/s"

// Many short rounds: a disturbance spoils one of them, and the median does not see it.
const course = (length: Length) =>
  length === "short" ? { rounds: 7, warmUpRounds: 4 } : { rounds: 25, warmUpRounds: 6 }
const quickRetryMillis = 2

const makeProducer = (kafka: Kafka, transactionalId: string) =>
  TransactionalProducer.make({ transactionalId }).pipe(
    Effect.provide(KafkaJs.layer({ brokers: kafka.bootstrapServers, clientId: "bench" }))
  )

const bracket = (
  producer: TransactionalProducer.TransactionalProducer["Service"],
  records: ReadonlyArray<ProducerRecord>
) => producer.withTransaction(Transaction.send(records))

const scope = (
  producer: TransactionalProducer.TransactionalProducer["Service"],
  records: ReadonlyArray<ProducerRecord>
) =>
  Effect.scoped(
    Effect.flatMap(producer.begin(), (transaction) => transaction.send(records))
  )

const concurrent = (
  producer: TransactionalProducer.TransactionalProducer["Service"],
  records: ReadonlyArray<ProducerRecord>
) =>
  producer.withTransaction(
    Effect.forEach(records, (record) => Transaction.send([record]), {
      concurrency: "unbounded",
      discard: true
    })
  )

const times = <A>(effect: Effect.Effect<A, KafkaError>) => (count: number) =>
  Effect.asVoid(Effect.repeat(effect, { times: count - 1 }))

/** Transactions of one record, one after the other. */
export const single = (kafka: Kafka, length: Length) =>
  Effect.scoped(Effect.gen(function*() {
    const work = "1 record, back to back"
    const topic = "single"
    yield* kafka.createTopic(topic)
    const records = Records.make(topic, 1)
    const raw = (transactionalId: string, retry: { readonly initialRetryTimeMillis?: number }) =>
      RawKafkaJs.make({ brokers: kafka.bootstrapServers, topic, transactionalId, ...retry })
    const ours = yield* makeProducer(kafka, "single-bracket")
    const oursScoped = yield* makeProducer(kafka, "single-scope")
    const defaults = yield* raw("single-raw", {})
    const quick = yield* raw("single-raw-quick", { initialRetryTimeMillis: quickRetryMillis })
    const names = {
      bracket: "kafka-once, bracket",
      scope: "kafka-once, scope",
      quick: "raw kafkajs, 2 ms retry",
      defaults: "raw kafkajs, defaults"
    }
    const count = length === "short" ? 15 : 25
    const rates = yield* Rounds.run({
      work,
      seconds: Rounds.wallSeconds,
      ...course(length),
      contenders: [
        { name: names.bracket, count, run: times(bracket(ours, records.ours)) },
        { name: names.quick, count, run: (count) => quick.transactions(count, records.raw) },
        { name: names.scope, count, run: times(scope(oursScoped, records.ours)) },
        // Slow enough that a few tell.
        {
          name: names.defaults,
          count: 3,
          run: (count) => defaults.transactions(count, records.raw)
        }
      ]
    })
    const lines: ReadonlyArray<Line> = [
      ...Object.values(names).map((name) => ({
        figure: Rounds.figure(rates, name, unit),
        goal: null
      })),
      ...[names.bracket, names.scope].flatMap((name): ReadonlyArray<Line> => [
        {
          figure: Rounds.ratio(rates, name, names.defaults),
          goal: { is: "at least", value: 10 }
        },
        {
          figure: Rounds.ratio(rates, name, names.quick),
          goal: { is: "at least", value: 0.95 }
        }
      ])
    ]
    return lines
  }))

/** Transactions of 500 records, on topics of one and of three partitions. */
export const batch = (kafka: Kafka, length: Length) =>
  Effect.map(
    Effect.forEach([1, 3], (partitions) => batchOn(kafka, length, partitions)),
    (lines) => lines.flat()
  )

const batchOn = (kafka: Kafka, length: Length, partitions: number) =>
  Effect.scoped(Effect.gen(function*() {
    const work = `500 records, ${partitions === 1 ? "1 partition" : `${partitions} partitions`}`
    const topic = `batch-${partitions}`
    yield* kafka.createTopic(topic, { partitions })
    const records = Records.make(topic, 500)
    const one = yield* makeProducer(kafka, `${topic}-one`)
    const many = yield* makeProducer(kafka, `${topic}-many`)
    const raw = yield* RawKafkaJs.make({
      brokers: kafka.bootstrapServers,
      topic,
      transactionalId: `${topic}-raw`,
      initialRetryTimeMillis: quickRetryMillis
    })
    const names = {
      one: "kafka-once, one call",
      many: "kafka-once, 500 concurrent calls",
      raw: "raw kafkajs, one call, 2 ms retry"
    }
    const count = length === "short" ? 8 : 15
    const rates = yield* Rounds.run({
      work,
      seconds: Rounds.wallSeconds,
      ...course(length),
      contenders: [
        { name: names.one, count, run: times(bracket(one, records.ours)) },
        { name: names.raw, count, run: (count) => raw.transactions(count, records.raw) },
        { name: names.many, count, run: times(concurrent(many, records.ours)) }
      ]
    })
    const lines: ReadonlyArray<Line> = [
      ...Object.values(names).map((name) => ({
        figure: Rounds.figure(rates, name, unit),
        goal: null
      })),
      {
        figure: Rounds.ratio(rates, names.one, names.raw),
        goal: { is: "at least", value: 0.95 }
      },
      {
        figure: Rounds.ratio(rates, names.many, names.one),
        goal: { is: "at least", value: 0.7 }
      }
    ]
    return lines
  }))
