/**
 * The driver over kafkajs 2.2.4.
 *
 * kafkajs is no longer maintained and speaks the old transaction protocol. This driver walls in
 * what it does wrong, and declares what it cannot do; the package's README lists each defect.
 *
 * @since 0.1.0
 */
import * as ConnectionOptions from "@kafka-once/core/ConnectionOptions"
import * as GroupSession from "@kafka-once/core/GroupSession"
import { type Capabilities, KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { Recovery } from "@kafka-once/core/KafkaError"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { isIPv6 } from "node:net"
import { createSecureContext } from "node:tls"
import * as RequestsOfConsumer from "./internal/groupProtocol.ts"
import * as Logging from "./internal/logging.ts"
import * as PinnedFiles from "./internal/pinnedFiles.ts"
import * as Reader from "./internal/reader.ts"
import * as Session from "./internal/session.ts"

/**
 * How to reach the brokers: the options that every driver has.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = ConnectionOptions.ConnectionOptions

/**
 * The kafkajs that is installed is not the one that the driver was made for.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientChanged extends Schema.TaggedError<ClientChanged>()("ClientChanged", {
  file: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `kafkajs/${this.file} is missing or differs from the one of kafkajs 2.2.4, whose ` +
      "inside this driver relies on. Install exactly kafkajs 2.2.4, unpatched, and leave it out " +
      "of bundles."
  }
}

/**
 * The driver cannot be built: what is wrong, as a reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class KafkaJsError extends Schema.TaggedError<KafkaJsError>()("KafkaJsError", {
  reason: Schema.Union([ConnectionOptions.InvalidOption, ClientChanged])
}) {
  override get message(): string {
    return this.reason.message
  }
}

/**
 * What this driver can do: of transactions none of what came after 2018, of consuming what its own
 * session over kafkajs' requests gives.
 *
 * @category models
 * @since 0.1.0
 */
export const capabilities: Capabilities = {
  groupFencing: false,
  stableOffsets: false,
  epochBump: false,
  transactionVersion: 1,
  commitRetry: false,
  correctReadCommitted: true,
  revocationHold: true,
  staticMembership: false,
  consumerGroupProtocol: false,
  lastStableOffset: true
}

/**
 * Builds the driver over kafkajs.
 *
 * **Details**
 *
 * *Errors*: `KafkaJsError` with the reason `InvalidOption` (an address that is none, PLAIN without
 * TLS, a key that cannot be read) or `ClientChanged`. Nothing is connected yet: a broker that
 * cannot be reached, or that refuses the credentials, fails the first session.
 *
 * *Source*: the sha256 of every file of kafkajs that the driver relies on is checked here.
 *
 * **Gotchas**
 *
 * A session has a client and sockets of its own, so that closing it leaves nothing behind.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<KafkaDriver, KafkaJsError> =>
  Layer.effect(KafkaDriver, make(options))

/**
 * Builds the driver over kafkajs from `Config`.
 *
 * **Details**
 *
 * *Shape*: as {@link Options}, with a `Config` in place of each value. `tls`, which is not always
 * an object, is one `Config`: `Config.unwrap({ ca: Config.String("KAFKA_CA") })`.
 *
 * *Errors*: as {@link layer}, and `Config.ConfigError` for what is missing or cannot be read, which
 * names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<KafkaDriver, KafkaJsError | Config.ConfigError> =>
  Layer.effect(KafkaDriver, Effect.flatMap(Config.unwrap(options), make))

const make = Effect.fnUntraced(function*(options: Options) {
  const settings = yield* settingsOf(options)
  const changed = yield* PinnedFiles.firstChanged
  if (changed !== null) {
    return yield* new KafkaJsError({ reason: new ClientChanged({ file: changed }) })
  }
  const logging = yield* Logging.make
  const reader = yield* Reader.make(settings, logging)
  let turn = 0
  return KafkaDriver.of({
    name: "kafkajs",
    capabilities,
    probe: reader.probe,
    partitionCount: reader.partitionCount,
    openSession: (session) =>
      Effect.suspend(() => Session.open(settings, logging, turn++, session)),
    endMarker: reader.endMarker,
    committedOffsets: reader.committedOffsets,
    openConsumer: (consumer) =>
      Effect.flatMap(
        RequestsOfConsumer.make(settings, logging, consumer.requestTimeoutMillis),
        (requests) => GroupSession.open(requests, consumer)
      )
  })
})

const settingsOf = (options: Options) =>
  Effect.mapError(
    ConnectionOptions.resolve(options, platform),
    (reason) => new KafkaJsError({ reason })
  )

const platform = { X509Certificate, createPrivateKey, createSecureContext, isIPv6 }
