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
import * as ConnectionOptions from "@kafka-once/core/ConnectionOptions"
import * as GroupSession from "@kafka-once/core/GroupSession"
import { type Capabilities, KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { compressionsAlgorithms } from "@platformatic/kafka"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { isIPv6 } from "node:net"
import { createSecureContext } from "node:tls"
import * as Admin from "./internal/admin.ts"
import * as Cluster from "./internal/cluster.ts"
import * as CommittedOffsets from "./internal/committedOffsets.ts"
import * as EndMarkers from "./internal/endMarkers.ts"
import { answered } from "./internal/failure.ts"
import * as RequestsOfConsumer from "./internal/groupProtocol.ts"
import * as Lookups from "./internal/lookups.ts"
import * as Session from "./internal/session.ts"
import type { Settings } from "./internal/settings.ts"

/**
 * How records are compressed, batch by batch.
 *
 * @category models
 * @since 0.1.0
 */
export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

/**
 * How to reach the brokers: the options that every driver has, and two of this one's own.
 *
 * **Details**
 *
 * *Shape*
 * - `connectionsPerBroker` (16): all sessions of the driver share so many connections to each
 *   broker. A broker handles one request of a connection at a time, so that many transactional ids
 *   gain from several. Another one is opened when all are busy, so that one id has one or two.
 * - `compression` (`"none"`): how records are compressed.
 *
 * *Units and bounds*: `connectionsPerBroker` is from 1 to 100. With the leaders of `metadataMaxAge`
 * the version of the transaction protocol is remembered, too.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends ConnectionOptions.ConnectionOptions {
  readonly connectionsPerBroker?: number | undefined
  readonly compression?: Compression | undefined
}

/**
 * The driver cannot be built: what is wrong, as a reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class PlatformaticError
  extends Schema.TaggedError<PlatformaticError>()("PlatformaticError", {
    reason: ConnectionOptions.InvalidOption
  })
{
  override get message(): string {
    return this.reason.message
  }
}

/**
 * What the driver can do.
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
  consumerGroupProtocol: true,
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
        RequestsOfConsumer.make(settings, cluster, consumer),
        (requests) => GroupSession.open(requests, consumer)
      ),
    transactionAdmin: Admin.make(settings, cluster)
  })
})

/** Opened as they are needed: with 64 transactional ids 16 carry a third more than four do. */
const mostConnections = 16

const settingsOf = (
  options: Options
): Effect.Effect<Settings, PlatformaticError, Scope.Scope> =>
  Effect.gen(function*() {
    const common = yield* ConnectionOptions.resolve(options, platform)
    const problem = problemOfConnections(options) ?? problemOfCompression(options)
    if (problem !== null) return yield* problem
    return {
      ...common,
      connectionsPerBroker: options.connectionsPerBroker ?? mostConnections,
      compression: options.compression ?? "none"
    }
  }).pipe(Effect.mapError((reason) => new PlatformaticError({ reason })))

const platform = { X509Certificate, createPrivateKey, createSecureContext, isIPv6 }

const problemOfConnections = (
  { connectionsPerBroker = 1 }: Options
): ConnectionOptions.InvalidOption | null =>
  Number.isInteger(connectionsPerBroker) && connectionsPerBroker >= 1 &&
    connectionsPerBroker <= 100
    ? null
    : new ConnectionOptions.InvalidOption({
      option: "connectionsPerBroker",
      problem: `is ${String(connectionsPerBroker)}; it must be a whole number from 1 to 100`
    })

const problemOfCompression = (
  { compression = "none" }: Options
): ConnectionOptions.InvalidOption | null =>
  Object.hasOwn(compressionsAlgorithms, compression) &&
    compressionsAlgorithms[compression].available
    ? null
    : new ConnectionOptions.InvalidOption({
      option: "compression",
      problem: `is ${JSON.stringify(compression)}; this program can use ` +
        Object.entries(compressionsAlgorithms).filter(([, { available }]) => available)
          .map(([name]) => name).join(", ")
    })
