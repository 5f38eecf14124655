/**
 * The driver over the wire codec and the connections of `@platformatic/kafka`, with a transaction
 * manager of its own.
 *
 * It speaks both versions of the transaction protocol: version 2 (KIP-890) wherever the cluster has
 * agreed on it, where every transaction has an epoch of its own and nothing that is late can reach
 * the next one.
 *
 * @since 0.1.0
 */
import * as GroupSession from "@kafka-once/core/GroupSession"
import { type Capabilities, KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { Recovery } from "@kafka-once/core/KafkaError"
import { compressionsAlgorithms } from "@platformatic/kafka"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Address from "./internal/address.ts"
import * as Admin from "./internal/admin.ts"
import * as Cluster from "./internal/cluster.ts"
import * as CommittedOffsets from "./internal/committedOffsets.ts"
import * as EndMarkers from "./internal/endMarkers.ts"
import { answered } from "./internal/failure.ts"
import * as RequestsOfConsumer from "./internal/groupProtocol.ts"
import * as Lookups from "./internal/lookups.ts"
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
 * How records are compressed, batch by batch.
 *
 * @category models
 * @since 0.1.0
 */
export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

/**
 * How to reach the brokers: the options of every driver of this library, and two of this one's own.
 *
 * **Details**
 *
 * *Shape*
 * - `brokers`: bootstrap addresses, `host:port` or `[IPv6]:port`; others are learnt from them.
 * - `clientId`: names this program in the broker's logs and quotas.
 * - `tls`: `true`, or options, to connect with TLS.
 * - `insecure`: allows SASL PLAIN or OAUTHBEARER without TLS, which send the password or the
 *   token as it is.
 * - `connectionsPerBroker` (4): all sessions of the driver share so many connections to each
 *   broker. A broker handles one request of a connection at a time, so that many transactional ids
 *   gain from several.
 * - `compression` (`"none"`): how records are compressed.
 *
 * *Units and bounds*: `connectionTimeout` (1 second) is for TCP and TLS of one connection,
 * `authenticationTimeout` (3 seconds) for its SASL exchange, and for an effect that gives a token.
 * `requestTimeout` (3 seconds) is for the requests that belong to no producer; a producer's own
 * come with the producer's options.
 * `reauthenticationThreshold` (10 seconds) is how long before a SASL session ends it is renewed.
 * `metadataMaxAge` (5 minutes) is how long leaders, and the version of the transaction protocol,
 * are remembered while nothing fails. `connectionsPerBroker` is from 1 to 100.
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
  readonly connectionsPerBroker?: number | undefined
  readonly compression?: Compression | undefined
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
 * The driver cannot be built: what is wrong, as a reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class PlatformaticError
  extends Schema.TaggedError<PlatformaticError>()("PlatformaticError", { reason: InvalidOption })
{
  override get message(): string {
    return this.reason.message
  }
}

/**
 * What the driver can do. It has no consumer yet.
 *
 * @category models
 * @since 0.1.0
 */
export const capabilities: Capabilities = {
  groupFencing: true,
  stableOffsets: true,
  epochBump: true,
  transactionVersion: 2,
  commitRetry: true,
  correctReadCommitted: true,
  revocationHold: true,
  staticMembership: true,
  lastStableOffset: true
}

/**
 * Builds the driver over `@platformatic/kafka`.
 *
 * **Details**
 *
 * *Errors*: `PlatformaticError` with the reason `InvalidOption` (an address that is none, PLAIN
 * without TLS, a key that cannot be read, a compression that this Node does not have). Nothing is
 * connected yet: a broker that cannot be reached, or that refuses the credentials, fails the first
 * session.
 *
 * **Gotchas**
 *
 * Sessions share connections. When one is closed it sends nothing more, but what it has written
 * cannot be taken back: it is the fence of the next session that makes it harmless. Closing the
 * layer closes every connection.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<KafkaDriver, PlatformaticError> =>
  Layer.effect(KafkaDriver, make(options))

/**
 * Builds the driver over `@platformatic/kafka` from `Config`.
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
): Layer.Layer<KafkaDriver, PlatformaticError | Config.ConfigError> =>
  Layer.effect(KafkaDriver, Effect.flatMap(Config.unwrap(options), make))

const make = Effect.fnUntraced(function*(options: Options) {
  const settings = yield* settingsOf(options)
  const cluster = yield* Cluster.make(settings)
  return KafkaDriver.of({
    name: "platformatic",
    capabilities,
    probe: Effect.asVoid(cluster.anywhere(Lookups.metadata([]))),
    partitionCount: (topic) =>
      Effect.flatMap(cluster.topics([topic], true), (topics) => {
        const found = topics.get(topic)
        return found?.code === 0
          ? Effect.succeed(found.partitionCount)
          : Effect.fail(
            answered("Metadata", found?.code ?? 3, `The topic "${topic}" cannot be used`)
          )
      }),
    openSession: (session) => Session.open(settings, cluster, session),
    endMarker: (topicPartition, offset, producerId) =>
      EndMarkers.find(settings, cluster, topicPartition, offset, producerId),
    committedOffsets: (groupId, partitions) =>
      CommittedOffsets.read(settings, cluster, groupId, partitions),
    openConsumer: (consumer) =>
      Effect.flatMap(
        RequestsOfConsumer.make(settings, cluster, consumer.requestTimeoutMillis),
        (requests) => GroupSession.open(requests, consumer)
      ),
    transactionAdmin: Admin.make(settings, cluster)
  })
})

const settingsOf = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Settings, PlatformaticError, Scope.Scope> {
  const problem = problemOf(options)
  if (problem !== null) return yield* new PlatformaticError({ reason: problem })
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
    metadataMaxAgeMillis: millisOf(options.metadataMaxAge, "5 minutes"),
    connectionsPerBroker: options.connectionsPerBroker ?? 4,
    compression: options.compression ?? "none"
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
    problemOfTimes(options) ?? problemOfConnections(options) ?? problemOfCompression(options)

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

const problemOfConnections = ({ connectionsPerBroker = 1 }: Options): InvalidOption | null =>
  Number.isInteger(connectionsPerBroker) && connectionsPerBroker >= 1 &&
    connectionsPerBroker <= 100
    ? null
    : new InvalidOption({
      option: "connectionsPerBroker",
      problem: `is ${String(connectionsPerBroker)}; it must be a whole number from 1 to 100`
    })

const problemOfCompression = ({ compression = "none" }: Options): InvalidOption | null =>
  Object.hasOwn(compressionsAlgorithms, compression) &&
    compressionsAlgorithms[compression].available
    ? null
    : new InvalidOption({
      option: "compression",
      problem: `is ${JSON.stringify(compression)}; this program can use ` +
        Object.entries(compressionsAlgorithms).filter(([, { available }]) => available)
          .map(([name]) => name).join(", ")
    })
