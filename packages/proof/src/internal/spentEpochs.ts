/**
 * Uses up the epochs of a producer id, as years of restarts would: a coordinator gives each
 * InitProducerId the next one, and a new producer id when there is none left.
 */
import { assert } from "@effect/vitest"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as BrokerRequests from "./brokerRequests.ts"

/** The last epoch that a producer gets: the one after it is the coordinator's, to fence with. */
export const lastEpoch = 32_766

const transactionTimeoutMs = 10_000

/** For all answers: a broker with two cores gives 5,000 a second. */
const requestTimeout = "90 seconds"

/** Initialises a new transactional id until it has an epoch. */
export const spend = (transactionalId: string, epoch: number) =>
  Effect.scoped(Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    // The first look-up makes the topic of the coordinators.
    yield* BrokerRequests.coordinator(kafka, transactionalId, "transaction")
    const [host = "", port = ""] = kafka.bootstrapServers[0]?.split(":") ?? []
    const client = yield* ProtocolClient.connect(host, Number(port), { requestTimeout })
    const initialise = client.request("InitProducerId", 4, {
      transactionalId,
      transactionTimeoutMs,
      producerId: -1n,
      producerEpoch: -1
    })
    const first = yield* Effect.repeat(initialise, {
      until: ({ errorCode }) => errorCode === 0,
      schedule: Schedule.spaced("50 millis"),
      times: 200
    })
    assert.strictEqual(first.producerEpoch, 0)
    // A broker answers the requests of a connection one after the other: the last answer waits for
    // all, and nobody waits for those between, which would take four times as long.
    const frame = initProducerId(transactionalId)
    yield* client.sendRaw(Buffer.concat(Array.from({ length: epoch - 1 }, () => frame)))
    const { errorCode, producerEpoch } = yield* initialise
    assert.deepStrictEqual({ errorCode, producerEpoch }, { errorCode: 0, producerEpoch: epoch })
  }))

/** Version 1 of the request, whose answer nobody waits for: its correlation id is -1. */
const initProducerId = (transactionalId: string): Buffer => {
  const id = Buffer.from(transactionalId)
  const content = Buffer.alloc(16 + id.length)
  content.writeInt16BE(22, 0)
  content.writeInt16BE(1, 2)
  content.writeInt32BE(-1, 4)
  content.writeInt16BE(-1, 8)
  content.writeInt16BE(id.length, 10)
  id.copy(content, 12)
  content.writeInt32BE(transactionTimeoutMs, 12 + id.length)
  const length = Buffer.alloc(4)
  length.writeInt32BE(content.length)
  return Buffer.concat([length, content])
}
