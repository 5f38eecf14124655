/**
 * The driver over kafkajs 2.2.4.
 *
 * kafkajs is no longer maintained and speaks the old transaction protocol. This driver walls in
 * what it does wrong, and declares what it cannot do; the package's README lists each defect.
 *
 * @since 0.1.0
 */
import * as GroupSession from "@kafka-once/core/GroupSession"
import { type Capabilities, KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { Recovery } from "@kafka-once/core/KafkaError"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Address from "./internal/address.ts"
import * as RequestsOfConsumer from "./internal/groupProtocol.ts"
import * as Logging from "./internal/logging.ts"
import * as PinnedFiles from "./internal/pinnedFiles.ts"
import * as Reader from "./internal/reader.ts"
import * as Session from "./internal/session.ts"
import type { Settings } from "./internal/settings.ts"
import * as TlsProblem from "./internal/tlsProblem.ts"
import * as TokenProvider from "./internal/tokenProvider.ts"

/**
 * How the servers are authenticated, and this client to them.
 *
 * **Details**
 *
 * *Shape*: texts in PEM form. Without `ca` the authorities that Node trusts are used. `serverName`
 * is the name that the certificate must have, the broker's own host name when left out. An unknown
 * certificate is never accepted.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsOptions {
  readonly ca?: string | ReadonlyArray<string> | undefined
  readonly cert?: string | undefined
  readonly key?: Redacted.Redacted | undefined
  readonly passphrase?: Redacted.Redacted | undefined
  readonly serverName?: string | undefined
}

/**
 * A user name and password, and how they are proved.
 *
 * @category models
 * @since 0.1.0
 */
export interface SaslPassword {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted
}

/**
 * A token of OAuth 2, asked for before each connection is authenticated, and again before its
 * session ends.
 *
 * **Details**
 *
 * *Units and bounds*: the effect is run for each connection, so it should keep a token that is
 * still good (`Effect.cachedWithTTL`). It may take `authenticationTimeout`.
 *
 * *Errors*: when it fails, nothing was sent, and the library tries again until its deadline. The
 * text of its error is in the library's, so it must not hold the token.
 *
 * @category models
 * @since 0.1.0
 */
export interface SaslToken {
  readonly mechanism: "oauthbearer"
  readonly token: Effect.Effect<Redacted.Redacted, unknown>
}

/**
 * How this client proves who it is.
 *
 * @category models
 * @since 0.1.0
 */
export type SaslOptions = SaslPassword | SaslToken

/**
 * How to reach the brokers.
 *
 * **Details**
 *
 * *Shape*
 * - `brokers`: bootstrap addresses, `host:port` or `[IPv6]:port`; others are learnt from them.
 * - `clientId`: names this program in the broker's logs and quotas.
 * - `tls`: `true`, or options, to connect with TLS.
 * - `insecure`: allows SASL PLAIN or OAUTHBEARER without TLS, which send the password or the
 *   token as it is.
 *
 * *Units and bounds*: `connectionTimeout` (1 second) is for TCP and TLS of one connection,
 * `authenticationTimeout` (3 seconds) for each request of its SASL exchange, and for an effect that
 * gives a token. `requestTimeout` (3 seconds) is for the requests that belong to no producer; a
 * producer's own come with the producer's options.
 * `reauthenticationThreshold` (10 seconds) is how long before a SASL session ends it is renewed.
 * `metadataMaxAge` (5 minutes) is how long leaders are remembered while nothing fails.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly brokers: ReadonlyArray<string>
  readonly clientId?: string | undefined
  readonly tls?: boolean | TlsOptions | undefined
  readonly sasl?: SaslOptions | undefined
  readonly insecure?: boolean | undefined
  readonly connectionTimeout?: Duration.Input | undefined
  readonly authenticationTimeout?: Duration.Input | undefined
  readonly reauthenticationThreshold?: Duration.Input | undefined
  readonly requestTimeout?: Duration.Input | undefined
  readonly metadataMaxAge?: Duration.Input | undefined
}

/**
 * An option that cannot be used as it is.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends Schema.TaggedError<InvalidOption>()("InvalidOption", {
  option: Schema.String,
  problem: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The option "${this.option}" ${this.problem}.`
  }
}

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
  reason: Schema.Union([InvalidOption, ClientChanged])
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

const settingsOf = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Settings, KafkaJsError, Scope.Scope> {
  const problem = problemOf(options)
  if (problem !== null) return yield* new KafkaJsError({ reason: problem })
  const { sasl } = options
  const authenticationTimeoutMillis = millisOf(options.authenticationTimeout, "3 seconds")
  return {
    brokers: options.brokers.flatMap((broker) => Address.parse(broker) ?? []),
    clientId: options.clientId ?? "kafka-once",
    tls: tlsOf(options),
    sasl: sasl === undefined
      ? null
      : sasl.mechanism === "oauthbearer"
      ? {
        mechanism: sasl.mechanism,
        tokens: yield* TokenProvider.make(sasl.token, authenticationTimeoutMillis)
      }
      : sasl,
    connectionTimeoutMillis: millisOf(options.connectionTimeout, "1 second"),
    authenticationTimeoutMillis,
    reauthenticationThresholdMillis: millisOf(options.reauthenticationThreshold, "10 seconds"),
    requestTimeoutMillis: millisOf(options.requestTimeout, "3 seconds"),
    metadataMaxAgeMillis: millisOf(options.metadataMaxAge, "5 minutes")
  }
})

const tlsOf = ({ tls }: Options): Settings["tls"] => {
  if (tls === undefined || tls === false) return null
  const given = tls === true ? {} : tls
  return {
    ca: given.ca,
    cert: given.cert,
    key: given.key,
    passphrase: given.passphrase,
    serverName: given.serverName
  }
}

const millisOf = (given: Duration.Input | undefined, otherwise: Duration.Input): number =>
  Duration.toMillis(given ?? otherwise)

const times = [
  "connectionTimeout",
  "authenticationTimeout",
  "reauthenticationThreshold",
  "requestTimeout",
  "metadataMaxAge"
] as const

// What a timer of Node can hold.
const maxMillis = 2_147_483_647

const problemOfTimes = (options: Options): InvalidOption | null => {
  for (const option of times) {
    const given = options[option]
    if (given === undefined) continue
    const duration = Duration.fromInput(given)
    const millis = duration._tag === "Some" ? Duration.toMillis(duration.value) : Number.NaN
    if (!(millis >= 1 && millis <= maxMillis)) {
      return new InvalidOption({
        option,
        problem: `is ${String(given)}; it must be a duration from 1 ms to ${maxMillis} ms`
      })
    }
  }
  return null
}

const problemOf = (options: Options): InvalidOption | null =>
  problemOfBrokers(options) ?? problemOfSasl(options) ?? problemOfTls(options) ??
    problemOfTimes(options)

const problemOfTls = (options: Options): InvalidOption | null => {
  const tls = tlsOf(options)
  const problem = tls === null ? null : TlsProblem.find(tls)
  return problem === null ? null : new InvalidOption(problem)
}

const problemOfBrokers = ({ brokers }: Options): InvalidOption | null => {
  // Options often come from JSON or from untyped code.
  if (!Array.isArray(brokers)) {
    return new InvalidOption({ option: "brokers", problem: 'must be an array of "host:port"' })
  }
  if (brokers.length === 0) return new InvalidOption({ option: "brokers", problem: "is empty" })
  for (const broker of brokers) {
    if (Address.parse(broker) === null) {
      return new InvalidOption({
        option: "brokers",
        problem: `holds ${JSON.stringify(broker)}, which is neither "host:port" nor "[IPv6]:port"`
      })
    }
  }
  return null
}

const mechanisms: ReadonlyArray<string> = [
  "plain",
  "scram-sha-256",
  "scram-sha-512",
  "oauthbearer"
]

const problemOfSasl = ({ insecure, sasl, tls }: Options): InvalidOption | null => {
  if (sasl !== undefined && !mechanisms.includes(sasl.mechanism)) {
    return new InvalidOption({
      option: "sasl",
      problem: `has the mechanism ${JSON.stringify(sasl.mechanism)}; it must be one of ` +
        mechanisms.join(", ")
    })
  }
  if (sasl?.mechanism === "oauthbearer" && !Effect.isEffect(sasl.token)) {
    return new InvalidOption({ option: "sasl", problem: "has a `token` that is no Effect" })
  }
  const isReadable = sasl?.mechanism === "plain" || sasl?.mechanism === "oauthbearer"
  const isPlainText = tls === undefined || tls === false
  return isReadable && isPlainText && insecure !== true
    ? new InvalidOption({
      option: "sasl",
      problem: `is ${sasl.mechanism.toUpperCase()} without TLS, which sends the ${
        sasl.mechanism === "plain" ? "password" : "token"
      } as it is; set \`tls\`, use SCRAM, or allow it with \`insecure: true\``
    })
    : null
}
