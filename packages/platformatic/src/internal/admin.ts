/**
 * What operators ask, over the driver's shared connections.
 */
import type { DriverError } from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import type {
  ProducerState,
  TopicState,
  TransactionAdminDriver
} from "@kafka-once/core/TransactionAdminDriver"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type Address, keyOf } from "./address.ts"
import * as Requests from "./adminRequests.ts"
import type { Cluster } from "./cluster.ts"
import { answered, isSilence } from "./failure.ts"
import * as Lookups from "./lookups.ts"
import type { Message } from "./message.ts"
import { initProducerId } from "./requests.ts"
import type { Settings } from "./settings.ts"

export const make = (settings: Settings, cluster: Cluster): TransactionAdminDriver => {
  const ask = { settings, cluster }
  return {
    brokers: Effect.map(
      cluster.anywhere(Lookups.metadata([])),
      ({ brokers }) => brokers.map(({ nodeId }) => nodeId)
    ),
    topics: (names) =>
      Effect.map(
        cluster.anywhere(Lookups.metadata(names)),
        ({ brokers, topics }) =>
          topics.map((topic) => topicOf(topic, new Set(brokers.map(({ nodeId }) => nodeId))))
      ),
    list: (brokerId, filter) =>
      Effect.flatMap(
        atBroker(ask, brokerId, Requests.listTransactions(filter)),
        (answer) => {
          const { code, transactions, unknownStates } = answer
          if (code !== 0) return Effect.fail(answered("ListTransactions", code))
          return unknownStates.length > 0
            ? Effect.fail(answered(
              "ListTransactions",
              unsupportedVersion,
              `Broker ${brokerId} does not know the states ${unknownStates.join(", ")}`
            ))
            : Effect.succeed(transactions)
        }
      ),
    describe: (transactionalId) =>
      Effect.map(
        atCoordinator(
          ask,
          transactionalId,
          Requests.describeTransaction(transactionalId)
        ),
        ({ description }) => description
      ),
    producers: (partitions) => producers(ask, partitions),
    writeAbortMarker: (marker) =>
      atLeader(ask, marker).pipe(
        Effect.flatMap((leader) =>
          cluster.request(leader, Requests.writeAbortMarker(marker), settings.requestTimeoutMillis)
        ),
        Effect.flatMap((code) =>
          code === 0 ? Effect.void : Effect.fail(answered("WriteTxnMarkers", code))
        ),
        Effect.tapError((error) => Effect.sync(() => noteLeader(cluster, marker.topic, error)))
      ),
    fence: (transactionalId, transactionTimeoutMillis) =>
      atCoordinator(
        ask,
        transactionalId,
        initProducerId(transactionalId, transactionTimeoutMillis, { producerId: -1n, epoch: -1 })
      ).pipe(Effect.map(({ identity }) => identity)),
    maxTransactionTimeoutMillis: (brokerId) =>
      Effect.flatMap(
        atBroker(ask, brokerId, Requests.describeBrokerConfig(brokerId, maxTimeout)),
        ({ code, value }) =>
          code === 0 && Number(value) > 0
            ? Effect.succeed(Number(value))
            : Effect.fail(answered("DescribeConfigs", code || unknownServerError))
      )
  }
}

interface Ask {
  readonly settings: Settings
  readonly cluster: Cluster
}

const unknownServerError = -1
const unsupportedVersion = 35
const leaderNotAvailable = 5

const maxTimeout = "transaction.max.timeout.ms"

/** A broker's address is asked for each time: one that was restarted may have another. */
const atBroker = <A>({ cluster, settings }: Ask, brokerId: number, message: Message<A>) =>
  Effect.flatMap(cluster.anywhere(Lookups.metadata([])), ({ brokers }) => {
    const broker = brokers.find(({ nodeId }) => nodeId === brokerId)
    return broker === undefined
      ? Effect.fail(answered(message.request, brokerNotAvailable, `Broker ${brokerId} is gone`))
      : cluster.request(broker, message, settings.requestTimeoutMillis)
  })

const brokerNotAvailable = 8

const atCoordinator = <A extends { readonly code: number }>(
  { cluster, settings }: Ask,
  transactionalId: string,
  message: Message<A>
): Effect.Effect<A, DriverError> =>
  cluster.coordinator("transaction", transactionalId).pipe(
    Effect.flatMap((address) => cluster.request(address, message, settings.requestTimeoutMillis)),
    Effect.flatMap((answer) =>
      answer.code === 0
        ? Effect.succeed(answer)
        : Effect.fail(answered(message.request, answer.code))
    ),
    Effect.tapError((error) =>
      Effect.sync(() => cluster.noteCoordinator("transaction", transactionalId, error))
    )
  )

const atLeader = ({ cluster }: Ask, { partition, topic }: TopicPartition.TopicPartition) =>
  Effect.flatMap(cluster.topics([topic], false), (topics) => {
    const found = topics.get(topic)
    const leader = found?.leaders.get(partition)
    return leader === undefined
      ? Effect.fail(noLeader(cluster, topic, found?.codeOf(partition)))
      : Effect.succeed(leader)
  })

/** What a look-up says; of a topic that is not there it is final. */
const noLeader = (cluster: Cluster, topic: string, code: number | undefined): DriverError => {
  cluster.forgetTopic(topic)
  return answered("Metadata", code ?? leaderNotAvailable)
}

const noteLeader = (cluster: Cluster, topic: string, error: DriverError): void => {
  if (error.failure._tag === "Answered" || isSilence(error)) cluster.forgetTopic(topic)
}

type Answer = Result.Result<ReadonlyArray<ProducerState>, DriverError>

/** One request to each leader. What a leader leaves out of its answer has failed. */
const producers = (
  ask: Ask,
  partitions: ReadonlyArray<TopicPartition.TopicPartition>
): Effect.Effect<ReadonlyArray<Answer>> =>
  Effect.gen(function*() {
    const { cluster, settings } = ask
    const answers = new Map<string, Answer>()
    const located: Array<TopicPartition.TopicPartition & { readonly leader: Address }> = []
    const names = [...new Set(partitions.map(({ topic }) => topic))]
    const topics = yield* cluster.topics(names, false)
    for (const one of partitions) {
      const found = topics.get(one.topic)
      const leader = found?.leaders.get(one.partition)
      if (leader !== undefined) located.push({ ...one, leader })
      else {
        const error = noLeader(cluster, one.topic, found?.codeOf(one.partition))
        answers.set(TopicPartition.toKey(one), Result.fail(error))
      }
    }
    yield* Effect.forEach(
      Map.groupBy(located, ({ leader }) => keyOf(leader)).values(),
      (of) =>
        Effect.map(
          Effect.result(
            cluster.request(
              of[0]!.leader,
              Requests.describeProducers(of),
              settings.requestTimeoutMillis
            )
          ),
          (result) => {
            if (Result.isSuccess(result)) {
              for (const one of result.success) {
                answers.set(TopicPartition.toKey(one), answerOf(one))
              }
            } else {
              for (const one of of) {
                answers.set(TopicPartition.toKey(one), Result.fail(result.failure))
              }
            }
          }
        ),
      { concurrency: "unbounded", discard: true }
    )
    return partitions.map((one) => {
      const answer = answers.get(TopicPartition.toKey(one)) ??
        Result.fail(answered("DescribeProducers", unknownServerError, "The leader left it out"))
      if (Result.isFailure(answer)) {
        noteLeader(cluster, one.topic, answer.failure)
      }
      return answer
    })
  }).pipe(
    Effect.catch((error) => Effect.succeed(partitions.map(() => Result.fail(error))))
  )

const answerOf = ({ code, producers }: Requests.DescribedProducers): Answer =>
  code === 0 ? Result.succeed(producers) : Result.fail(answered("DescribeProducers", code))

const topicOf = (
  { errorCode, name, partitions }: Lookups.Metadata["topics"][number],
  brokers: ReadonlySet<number>
): TopicState => ({
  topic: name,
  code: errorCode,
  partitionCount: partitions.length,
  leaderless: partitions
    .filter(({ leaderId }) => !brokers.has(leaderId))
    .map(({ partitionIndex }) => partitionIndex)
})
