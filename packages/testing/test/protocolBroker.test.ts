import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { CompressionTypes, Kafka, logLevel } from "kafkajs"
import { type AddressInfo, createConnection, createServer } from "node:net"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as Frame from "../src/internal/protocol/frame.ts"
import * as FrameSplitter from "../src/internal/protocol/frameSplitter.ts"
import { apis } from "../src/internal/protocol/generated/apis.ts"
import * as ProtocolClient from "../src/internal/protocol/protocolClient.ts"
import * as RecordBatch from "../src/internal/protocol/recordBatch.ts"

interface Exchange {
  readonly request: Buffer
  response: Buffer | null
}

/** A server that passes bytes on to a broker, and keeps the frames of both directions. */
const makeTap = Effect.acquireRelease(
  Effect.callback<{
    readonly port: number
    readonly exchanges: Array<Exchange>
    readonly connectTo: (port: number) => void
    readonly close: () => void
  }>((resume) => {
    const exchanges: Array<Exchange> = []
    let target = 0
    const server = createServer((client) => {
      const upstream = createConnection({ host: "127.0.0.1", port: target })
      const open = new Map<number, Exchange>()
      const requests = FrameSplitter.make((request) => {
        const exchange: Exchange = { request, response: null }
        exchanges.push(exchange)
        open.set(request.readInt32BE(4), exchange)
      })
      const responses = FrameSplitter.make((response) => {
        open.get(response.readInt32BE(0))!.response = response
      })
      client.on("data", (chunk) => {
        requests(Buffer.from(chunk))
        upstream.write(chunk)
      })
      upstream.on("data", (chunk) => {
        responses(Buffer.from(chunk))
        client.write(chunk)
      })
      for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
        socket.on("error", () => undefined)
        socket.on("close", () => other.destroy())
      }
    })
    server.listen(0, "127.0.0.1", () =>
      resume(Effect.succeed({
        port: (server.address() as AddressInfo).port,
        exchanges,
        connectTo: (port) => {
          target = port
        },
        close: () => server.close()
      })))
  }),
  ({ close }) => Effect.sync(close)
)

class Broker extends Context.Service<Broker, {
  readonly exchanges: Array<Exchange>
  readonly tapped: string
  readonly direct: string
}>()("test/Broker") {
  static readonly layer = Layer.effect(
    Broker,
    Effect.gen(function*() {
      const tap = yield* makeTap
      const kafka = yield* EmbeddedKafka.make({ proxiedPorts: [tap.port] })
      tap.connectTo(Number(kafka.proxied[0]!.upstream.split(":")[1]))
      yield* kafka.createTopic("session")
      return {
        exchanges: tap.exchanges,
        tapped: kafka.proxied[0]!.advertised,
        direct: kafka.bootstrapServers[0]!
      }
    })
  )
}

const connectDirect = Effect.gen(function*() {
  const { direct } = yield* Broker
  const [host = "", port] = direct.split(":")
  return yield* ProtocolClient.connect(host, Number(port))
})

/** A consumer and a transactional producer with compressed records, as a user would run them. */
const runSession = (broker: string) =>
  Effect.tryPromise(async () => {
    const kafka = new Kafka({ clientId: "session", brokers: [broker], logLevel: logLevel.NOTHING })
    const producer = kafka.producer({ transactionalId: "session", maxInFlightRequests: 1 })
    await producer.connect()
    for (const end of ["commit", "abort", "commit"] as const) {
      const transaction = await producer.transaction()
      await transaction.send({
        topic: "session",
        compression: end === "abort" ? CompressionTypes.None : CompressionTypes.GZIP,
        messages: [{ key: "k", value: end, partition: 0, headers: { h: "v" } }]
      })
      await transaction.sendOffsets({
        consumerGroupId: "session",
        topics: [{ topic: "session", partitions: [{ partition: 0, offset: "1" }] }]
      })
      await transaction[end]()
    }
    await producer.disconnect()
    const consumer = kafka.consumer({ groupId: "readers" })
    await consumer.connect()
    await consumer.subscribe({ topics: ["session"], fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer.run({ eachMessage: () => Promise.resolve(resolve()) }).catch(reject)
    })
    await consumer.disconnect()
  })

layer(Broker.layer, { timeout: "3 minutes", excludeTestServices: true })(
  "against a real broker",
  (it) => {
    it.effect("every frame of a client's session is read and written back as the same bytes", () =>
      Effect.gen(function*() {
        const { exchanges, tapped } = yield* Broker
        yield* runSession(tapped)
        const seen = new Set<string>()
        for (const { request, response } of exchanges) {
          const { api, body, header } = Result.getOrThrow(Frame.decodeRequest(request))
          const again = Frame.encodeRequestUnsafe(api, header, body as never)
          assert.isTrue(again.subarray(4).equals(request), `${api} v${header.apiVersion} request`)
          seen.add(api)
          if (response === null) continue
          const version = header.apiVersion
          const answer = Result.getOrThrow(Frame.decodeResponse(api, version, response))
          const written = Frame.encodeResponseUnsafe(
            api,
            version,
            answer.correlationId,
            answer.body
          )
          assert.isTrue(written.subarray(4).equals(response), `${api} v${version} response`)
        }
        assert.includeMembers([...seen], [
          "ApiVersions",
          "Metadata",
          "FindCoordinator",
          "InitProducerId",
          "AddPartitionsToTxn",
          "Produce",
          "AddOffsetsToTxn",
          "TxnOffsetCommit",
          "EndTxn",
          "JoinGroup",
          "SyncGroup",
          "OffsetFetch",
          "ListOffsets",
          "Fetch",
          "LeaveGroup"
        ])
      }))

    it.effect("record batches name their producer, and markers their decision", () =>
      Effect.gen(function*() {
        const client = yield* connectDirect
        const { topics } = yield* client.request("Metadata", 12, { topics: [{ name: "session" }] })
        const answer = yield* client.request("Fetch", 16, {
          maxWaitMs: 100,
          minBytes: 1,
          maxBytes: 1 << 20,
          topics: [{
            topicId: topics[0]!.topicId!,
            partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1 << 20 }]
          }]
        })
        const records = answer.responses[0]!.partitions[0]!.records!
        const batches = Result.getOrThrow(RecordBatch.readAll(records))
        assert.deepStrictEqual(
          batches.map(({ compression, control, isTransactional }) =>
            [compression, control, isTransactional] as const
          ),
          [
            ["gzip", null, true],
            ["none", "commit", true],
            ["none", null, true],
            ["none", "abort", true],
            ["gzip", null, true],
            ["none", "commit", true]
          ]
        )
        const [data, marker] = batches
        assert.strictEqual(data!.baseSequence, 0)
        assert.strictEqual(marker!.producerId, data!.producerId)
        assert.strictEqual(Buffer.from(data!.records[0]!.value!).toString(), "commit")
        assert.strictEqual(data!.records[0]!.headers[0]!.key, "h")
        for (let cut = 62; cut < records.length; cut += 7) {
          assert.isTrue(Result.isSuccess(RecordBatch.readAll(records.subarray(0, cut))))
        }
        const zstd = Buffer.from(records)
        zstd[22] = 0x14
        const unreadable = RecordBatch.readAll(zstd)
        assert.isTrue(Result.isFailure(unreadable))
        if (Result.isFailure(unreadable)) {
          assert.strictEqual(unreadable.failure.reason._tag, "UnsupportedCompression")
        }
        for (let at = 61; at < 120; at++) {
          const changed = Buffer.from(records)
          changed[at]! ^= 0xff
          const result = RecordBatch.readAll(changed)
          if (Result.isFailure(result)) assert.strictEqual(result.failure._tag, "ProtocolError")
        }
      }))

    it.effect("a broker of the version generated from offers no more than the tables", () =>
      Effect.gen(function*() {
        const client = yield* connectDirect
        const { apiKeys } = yield* client.request("ApiVersions", 4, {
          clientSoftwareName: "kafka-once",
          clientSoftwareVersion: "0.1.0"
        })
        const versions = new Map(apis.map(({ key, versions }) => [key, versions]))
        assert.isAbove(apiKeys.length, 60)
        // Brokers offer Produce from version 0, and refuse what is below 3: only the end says much.
        for (const { apiKey, maxVersion } of apiKeys) {
          const [, to] = versions.get(apiKey) ?? [Infinity, -Infinity]
          assert.isAtMost(maxVersion, to, `API ${apiKey}`)
        }
      }))
  }
)
