/**
 * The place of one case: topics, groups, a transactional id and a client of its own, on one lane.
 *
 * @since 0.1.0
 */
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { ProducerOptions } from "@kafka-once/core/ProducerOptions"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import type { FaultProxy } from "@kafka-once/testing/FaultProxy"
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import type { Row } from "./Case.ts"
import * as Lanes from "./Lanes.ts"

/**
 * How a driver of a case connects.
 *
 * @category models
 * @since 0.1.0
 */
export interface Through {
  readonly addresses: ReadonlyArray<string>
  readonly clientId: string
  readonly requestTimeoutMillis: number
  readonly credentials: { readonly username: string; readonly password: string } | null
}

/**
 * A driver as the matrix takes it.
 *
 * @category models
 * @since 0.1.0
 */
export type DriverThrough = (
  through: Through
) => Layer.Layer<KafkaDriver, { readonly message: string }>

const requestTimeoutMillis = 500

/**
 * Short deadlines: most of a case is the wait for an answer that does not come.
 *
 * @category models
 * @since 0.1.0
 */
export const timeouts = {
  requestTimeout: requestTimeoutMillis,
  deliveryTimeout: "1900 millis",
  // Three attempts, where the driver can repeat it.
  commitTimeout: "1900 millis",
  abortTimeout: "1900 millis",
  drainTimeout: "2400 millis",
  resolveTimeout: "3 seconds",
  initializeTimeout: "2500 millis"
} as const

/**
 * The place of one case.
 *
 * **Details**
 *
 * *Shape*: `entries` are the requests of the case's client alone, oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stage {
  readonly proxy: FaultProxy
  readonly topic: string
  readonly otherTopic: string
  readonly groups: readonly [string, string]
  readonly clientId: string
  readonly options: ProducerOptions
  readonly driver: Layer.Layer<KafkaDriver, { readonly message: string }>
  readonly entries: Effect.Effect<ReadonlyArray<FaultProxyWireLog.Entry>>
}

/**
 * Takes a lane and makes what a case needs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(row: Row, driverThrough: DriverThrough) {
  const lanes = yield* Lanes.Lanes
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const proxy = yield* lanes.take(row.listener)
  const id = randomUUID().slice(0, 8)
  const topic = `matrix-${id}`
  const otherTopic = `matrix-${id}-other`
  const clientId = `client-${id}`
  yield* kafka.createTopic(topic, { partitions: 2 })
  if (row.work === "new topic") yield* kafka.createTopic(otherTopic)
  const driver = driverThrough({
    addresses: [`${proxy.host}:${proxy.port}`],
    clientId,
    requestTimeoutMillis,
    credentials: row.listener === "sasl" ? Lanes.credentials : null
  })
  const stage: Stage = {
    proxy,
    topic,
    otherTopic,
    groups: [`group-${id}-1`, `group-${id}-2`],
    clientId,
    options: { transactionalId: `id-${id}`, ...timeouts },
    driver: row.work.startsWith("offsets") ? withGroupFencing(driver) : driver,
    entries: Effect.map(
      proxy.log.entries,
      (entries) => entries.filter((entry) => entry.clientId === clientId)
    )
  }
  return stage
})

/**
 * Lets offsets through that a client sends without the group's generation. The library refuses them
 * there, and is right to; on a group without members, as in the matrix, nothing is lost by it, and
 * what the broker's answers mean can be shown.
 */
const withGroupFencing = (driver: Stage["driver"]): Stage["driver"] =>
  Layer.effect(
    KafkaDriver,
    Effect.map(KafkaDriver, (service) => ({
      ...service,
      capabilities: { ...service.capabilities, groupFencing: true }
    }))
  ).pipe(Layer.provide(driver))

/**
 * A line for each request, for people.
 *
 * @category accessors
 * @since 0.1.0
 */
export const linesOf = (entries: ReadonlyArray<FaultProxyWireLog.Entry>): ReadonlyArray<string> => {
  const start = entries[0]?.timeMillis ?? 0
  return entries.map((entry) => {
    const { answer, api, commit, connection, producerEpoch, rule, timeMillis } = entry
    const how = commit === null ? "" : commit ? " commit" : " abort"
    const epoch = producerEpoch === null ? "" : ` epoch ${producerEpoch}`
    const told = answer === null
      ? "no answer"
      : `${answer.errorCode ?? "answered"}${answer.delivered ? "" : ", lost"}`
    const fault = rule === null ? "" : ` <-- ${rule}`
    return `${Math.round(timeMillis - start)} ms, connection ${connection}: ` +
      `${api}${how}${epoch}: ${told}${fault}`
  })
}
