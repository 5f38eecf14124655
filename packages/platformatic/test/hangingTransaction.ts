/**
 * A producer by hand, over connections of its own, that does what a delayed request does on a
 * broker that does not verify partitions (before Kafka 3.6, or with
 * `transaction.partition.verification.enable` off): it writes after its transaction has ended.
 */
import { assert } from "@effect/vitest"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as RecordBatch from "../src/internal/recordBatch.ts"

/** Properties of a broker on which transactions can hang. */
export const withoutVerification = { "transaction.partition.verification.enable": "false" }

const accept = (request: string, code: number | undefined) =>
  code === 0
    ? Effect.void
    : Effect.fail(new Error(`${request}: ${ProtocolClient.errorName(code ?? -1)}`))

const connectTo = (address: string) => {
  const [host = "", port] = address.split(":")
  return ProtocolClient.connect(host, Number(port))
}

export interface Producer {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly addPartition: (topic: string, partition: number) => Effect.Effect<void, unknown>
  /** One record, so many milliseconds old. Answers with its offset. */
  readonly write: (
    topic: string,
    partition: number,
    value: string,
    ageMillis?: number
  ) => Effect.Effect<bigint, unknown>
  readonly end: (committed: boolean) => Effect.Effect<void, unknown>
  /** Waits until the markers of a transaction that has ended are all written. */
  readonly awaitMarkers: Effect.Effect<void, unknown>
}

/** Without a transactional id the producer id is one that no coordinator knows. */
export const open = Effect.fnUntraced(function*(transactionalId: string | null) {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const coordinator = yield* connectTo(
    transactionalId === null
      ? kafka.bootstrapServers[0]!
      : (yield* kafka.transactionCoordinatorOf(transactionalId)).address
  )
  const notYet = Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 500 }))
  const { producerEpoch, producerId } = yield* coordinator.request("InitProducerId", 4, {
    transactionalId,
    transactionTimeoutMs: 60_000
  }).pipe(
    Effect.tap(({ errorCode }) => accept("InitProducerId", errorCode)),
    Effect.retry(notYet)
  )
  const actor = { transactionalId: transactionalId ?? "nobody's", producerId, epoch: producerEpoch }
  const sequences = new Map<string, number>()
  const producer: Producer = {
    producerId,
    producerEpoch,
    addPartition: (topic, partition) =>
      coordinator.request("AddPartitionsToTxn", 3, {
        v3AndBelowTransactionalId: transactionalId!,
        v3AndBelowProducerId: producerId,
        v3AndBelowProducerEpoch: producerEpoch,
        v3AndBelowTopics: [{ name: topic, partitions: [partition] }]
      }).pipe(
        Effect.flatMap((answer) =>
          accept(
            "AddPartitionsToTxn",
            answer.resultsByTopicV3AndBelow?.[0]?.resultsByPartition[0]?.partitionErrorCode
          )
        ),
        // The markers of the last transaction may be on their way.
        Effect.retry(notYet)
      ),
    write: (topic, partition, value, ageMillis = 0) =>
      Effect.gen(function*() {
        const leader = yield* connectTo((yield* kafka.leaderOf(topic, partition)).address)
        const key = `${topic}/${partition}`
        const sequence = sequences.get(key) ?? 0
        const timestamp = BigInt((yield* Clock.currentTimeMillis) - ageMillis)
        const record = {
          key: null,
          value: new TextEncoder().encode(value),
          headers: [],
          timestamp
        }
        const { responses } = yield* leader.request("Produce", 11, {
          transactionalId: actor.transactionalId,
          acks: -1,
          timeoutMs: 5_000,
          topicData: [{
            name: topic,
            partitionData: [{
              index: partition,
              records: RecordBatch.encode(actor, sequence, [record], "none")
            }]
          }]
        })
        const answer = responses[0]?.partitionResponses[0]
        yield* accept("Produce", answer?.errorCode)
        sequences.set(key, sequence + 1)
        assert(answer !== undefined)
        return answer.baseOffset
      }).pipe(Effect.scoped),
    end: (committed) =>
      coordinator.request("EndTxn", 4, {
        transactionalId: transactionalId!,
        producerId,
        producerEpoch,
        committed
      }).pipe(Effect.flatMap(({ errorCode }) => accept("EndTxn", errorCode))),
    awaitMarkers: coordinator.request("DescribeTransactions", 0, {
      transactionalIds: [transactionalId!]
    }).pipe(
      Effect.flatMap(({ transactionStates: [state] }) =>
        state?.transactionState.startsWith("Complete")
          ? Effect.void
          : Effect.fail(new Error(`the transaction is ${state?.transactionState}`))
      ),
      Effect.retry(notYet)
    )
  }
  return producer
})

export interface Hanging {
  readonly producer: Producer
  /** Where the transaction that nobody will end begins. */
  readonly startOffset: bigint
}

/** A transaction commits, and one more record of it comes late. */
export const leave = Effect.fnUntraced(function*(
  transactionalId: string,
  topic: string,
  partition: number,
  ageMillis = 0
) {
  const producer = yield* open(transactionalId)
  yield* producer.addPartition(topic, partition)
  yield* producer.write(topic, partition, "in time", ageMillis)
  yield* producer.end(true)
  // The marker must be there first, or it would end what comes late, too.
  yield* producer.awaitMarkers
  const startOffset = yield* producer.write(topic, partition, "late", ageMillis)
  const hanging: Hanging = { producer, startOffset }
  return hanging
})
