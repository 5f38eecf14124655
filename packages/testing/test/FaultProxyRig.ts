/** A real broker behind a fault proxy, and raw kafkajs clients that bootstrap at the proxy. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Kafka, logLevel, type Producer, type Transaction } from "kafkajs"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as FaultProxy from "../src/FaultProxy.ts"
import * as ProtocolClient from "../src/internal/protocol/protocolClient.ts"
import * as RecordBatch from "../src/internal/protocol/recordBatch.ts"

export class Rig extends Context.Service<Rig, {
  readonly proxy: FaultProxy.FaultProxy
  /** The listener that no fault touches. */
  readonly direct: { readonly host: string; readonly port: number }
}>()("test/Rig") {
  static readonly layer = Layer.effect(
    Rig,
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make()
      const kafka = yield* EmbeddedKafka.make({ proxiedPorts: [proxy.port] })
      yield* proxy.connectTo(address(kafka.proxied[0]!.upstream))
      return { proxy, direct: address(kafka.bootstrapServers[0]!) }
    })
  )
}

export const address = (text: string) => {
  const [host = "", port] = text.split(":")
  return { host, port: Number(port) }
}

/** A step of kafkajs, which rejects with errors and with nothing else. */
export const call = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => cause as Error })

/** The end of a client. Its test is over, and may have left it without a connection. */
export const disconnect = (client: Producer) => Effect.ignore(call(() => client.disconnect()))

export interface ClientOptions {
  readonly clientId: string
  readonly requestTimeoutMillis?: number
  readonly retries?: number
}

/** A transactional kafkajs producer through the proxy; one attempt per request unless told. */
export const producer = Effect.fnUntraced(function*(options: ClientOptions) {
  const { proxy } = yield* Rig
  const kafka = new Kafka({
    clientId: options.clientId,
    brokers: [`${proxy.host}:${proxy.port}`],
    requestTimeout: options.requestTimeoutMillis ?? 10_000,
    enforceRequestTimeout: true,
    retry: { retries: options.retries ?? 0, initialRetryTime: 50 },
    logLevel: logLevel.NOTHING
  })
  const client = kafka.producer({
    transactionalId: options.clientId,
    idempotent: false,
    maxInFlightRequests: 1,
    retry: { retries: options.retries ?? 0, initialRetryTime: 50 }
  })
  yield* Effect.acquireRelease(
    // The first transaction of a fresh broker waits for its coordinator.
    call(() => client.connect()).pipe(
      Effect.andThen(call(() => client.transaction())),
      Effect.andThen((transaction) => call(() => transaction.abort())),
      Effect.retry({ times: 100 })
    ),
    () => disconnect(client)
  )
  return client
})

/** Begins a transaction; right after another the coordinator may not have written its markers. */
export const begin = (client: Producer) =>
  call(() => client.transaction()).pipe(Effect.retry({ times: 100 }))

export const send = (transaction: Transaction, topic: string, value: string) =>
  call(() => transaction.send({ topic, messages: [{ value, partition: 0 }] }))

export const commit = (transaction: Transaction) => call(() => transaction.commit())

export const abort = (transaction: Transaction) => call(() => transaction.abort())

/** A topic of one partition, made at the direct listener. */
export const createTopic = Effect.fnUntraced(function*(name: string) {
  const { direct } = yield* Rig
  const client = yield* ProtocolClient.connect(direct.host, direct.port)
  const created = yield* client.request("CreateTopics", 5, {
    topics: [{ name, numPartitions: 1, replicationFactor: 1 }],
    timeoutMs: 10_000
  })
  const [topic] = created.topics
  if (topic?.errorCode !== 0) return yield* Effect.die(`${name}: ${topic?.errorCode}`)
  // Without retries a client must find the leader ready: until then the first Produce is refused.
  yield* client.request("ListOffsets", 5, {
    replicaId: -1,
    topics: [{ name, partitions: [{ partitionIndex: 0, timestamp: -1n }] }]
  }).pipe(
    Effect.repeat({ until: ({ topics }) => topics[0]?.partitions[0]?.errorCode === 0 })
  )
}, Effect.scoped)

/** All batches of partition 0, control batches among them, as they lie in the log. */
export const readLog = Effect.fnUntraced(function*(topic: string) {
  const { direct } = yield* Rig
  const client = yield* ProtocolClient.connect(direct.host, direct.port)
  const answer = yield* client.request("Fetch", 11, {
    maxWaitMs: 50,
    minBytes: 1 << 20,
    maxBytes: 1 << 20,
    topics: [{
      topic,
      partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1 << 20 }]
    }]
  })
  const partition = answer.responses[0]!.partitions[0]!
  const batches = yield* Effect.fromResult(
    RecordBatch.readAll(partition.records ?? new Uint8Array(0))
  )
  return { batches, lastStableOffset: partition.lastStableOffset ?? -1n }
}, Effect.scoped)

/** What the log says in one line: the values of data batches, and the decisions of markers. */
export const readValues = (topic: string) =>
  Effect.map(readLog(topic), ({ batches }) =>
    batches.flatMap((batch) =>
      batch.control === null
        ? batch.records.map(({ value }) => Buffer.from(value ?? []).toString())
        : [batch.control]
    ))

/** The coordinator answers a commit before its markers are written: waits until they are. */
export const awaitMarkers = (topic: string, markers: number) =>
  readValues(topic).pipe(
    Effect.repeat({
      until: (values) =>
        values.filter((value) => value === "commit" || value === "abort").length >= markers
    }),
    Effect.timeout("10 seconds")
  )

/** A plain connection through the proxy. */
export const wire = Effect.fnUntraced(function*(
  clientId: string,
  requestTimeout: Duration.Input = "10 seconds"
) {
  const { proxy } = yield* Rig
  return yield* ProtocolClient.connect(proxy.host, proxy.port, {
    clientId,
    requestTimeout
  })
})
