/**
 * Transactional ids whose producer ids have no epochs left, as after years of restarts: a
 * coordinator gives each InitProducerId the next one.
 */
import { assert } from "@effect/vitest"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as ProducerBench from "../ProducerBench.ts"
import * as BrokerRequests from "./brokerRequests.ts"

/** The last epoch that a producer gets: the one after it is the coordinator's, to fence with. */
export const lastEpoch = 32_766

/** The first epoch that a session of each transactional id gets. */
const firstEpochs = {
  "between-sessions": lastEpoch - 9,
  "commit-answer-lost": lastEpoch,
  "commit-request-lost": lastEpoch,
  "commit-answer-lost-once": lastEpoch,
  "taken-over": lastEpoch
}

/** Of drivers with `epochBump`. */
const resumedAt = {
  "timed-out": lastEpoch,
  "initialised-without-an-answer": lastEpoch
}

export const withinSessionFrom = lastEpoch - 10

/** Where EndTxn gives the next epoch to such a driver. */
const endedAt = {
  "within-a-session": withinSessionFrom,
  "markers-on-their-way-1": lastEpoch,
  "markers-on-their-way-2": lastEpoch,
  "markers-on-their-way-3": lastEpoch
}

export type Id = keyof typeof firstEpochs | keyof typeof resumedAt | keyof typeof endedAt

interface Spoken {
  readonly transactionVersion: 1 | 2
  readonly epochBump: boolean
}

export const endsGiveEpochs = ({ epochBump, transactionVersion }: Spoken): boolean =>
  epochBump && transactionVersion === 2

/** Brings all of them there at once: one connection alone does not keep a broker busy. */
export const layer = (options: Spoken) =>
  Layer.effectDiscard(Effect.forEach(
    Object.entries({
      ...firstEpochs,
      ...(options.epochBump ? resumedAt : {}),
      ...(endsGiveEpochs(options) ? endedAt : {})
    }),
    ([transactionalId, epoch]) => spend(transactionalId, epoch - 1),
    { concurrency: "unbounded" }
  ))

/** That of another transactional id. */
export type Bench = Omit<ProducerBench.Bench, "assertNothingOpen">

/** Runs a test with the transactional id that was brought to its last epochs for it. */
export const over = <E, R>(
  driver: ProducerBench.DriverAt,
  transactionalId: Id,
  test: (bench: Bench) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function*() {
    const { assertNothingOpen: _, ...made } = yield* ProducerBench.make(driver)
    const options = { ...made.options, transactionalId }
    yield* test({ ...made, transactionalId, options }).pipe(
      Effect.scoped,
      Effect.provide(made.driver)
    )
  })

const transactionTimeoutMs = 10_000

/** For all answers: a broker on two cores gives 5,000 a second, and 16,000 on four connections. */
const requestTimeout = "90 seconds"

/** Initialises a new transactional id until it has an epoch. */
const spend = (transactionalId: string, epoch: number) =>
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
