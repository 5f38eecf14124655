/**
 * One kafkajs client: every option given, its sockets behind a gate, its cluster at hand.
 */
import type { Settings, TlsOptions } from "@kafka-once/core/ConnectionOptions"
import * as Redacted from "effect/Redacted"
import {
  Kafka,
  type KafkaConfig,
  type Mechanism,
  type Producer,
  type ProducerConfig,
  type SASLOptions
} from "kafkajs"
import type { ConnectionOptions } from "node:tls"
import type { Cluster } from "./cluster.ts"
import type { Logging } from "./logging.ts"
import * as OAuthBearer from "./oauthBearer.ts"
import { repair } from "./repair.ts"
import type { SocketGate } from "./socketGate.ts"

/**
 * kafkajs repeats nothing: the library does, and sees every attempt with its code (K2, K5, K9,
 * K13).
 */
export const noRetry = {
  retries: 0,
  // None of these is used without retries; they are given so that no default of kafkajs counts.
  maxRetryTime: 1,
  initialRetryTime: 1,
  factor: 0,
  multiplier: 1
}

interface ClusterOptions {
  readonly metadataMaxAge: number
  readonly allowAutoTopicCreation: boolean
  readonly maxInFlightRequests: number | null
  readonly instrumentationEmitter: object | null
  readonly isolationLevel: number
}

type CreateCluster = (options: ClusterOptions) => Cluster

export interface Client {
  /** A producer, and the cluster inside of it. */
  readonly createProducer: (
    config: ProducerConfig
  ) => { readonly producer: Producer; readonly cluster: Cluster }
  /** A cluster of its own, for requests that kafkajs' public interface has not. */
  readonly createCluster: () => Cluster
}

export const readUncommitted = 0

/**
 * Makes a client whose first bootstrap address is the `turn`th: kafkajs begins every new client at
 * the first one, so a first address that is down would fail every session.
 */
export const make = (
  settings: Settings,
  gate: SocketGate,
  logging: Logging,
  requestTimeoutMillis: number,
  turn: number
): Client => {
  const kafka = new Kafka(configOf(settings, gate, logging, requestTimeoutMillis))
  // kafkajs keeps its way of making a cluster under a private symbol of each client. It is replaced
  // on this client alone: other users of kafkajs in the process are not touched.
  const internals = kafka as unknown as Record<symbol, CreateCluster>
  const symbol = createClusterSymbol(kafka)
  const create = internals[symbol]
  if (create === undefined) throw new Error("This is not the kafkajs that the driver is made for")
  const first = turn % settings.brokers.length
  const repairs = {
    bootstrap: [...settings.brokers.slice(first), ...settings.brokers.slice(0, first)],
    authenticationTimeoutMillis: settings.authenticationTimeoutMillis
  }
  // kafkajs looks for the retries of InitProducerId and TxnOffsetCommit on its cluster, which has
  // none: it would take its defaults, and repeat five times, 300 ms and more apart.
  const createCluster: CreateCluster = (options) =>
    Object.assign(repair(create.call(kafka, options), repairs), { retry: noRetry })
  return {
    createProducer: (config) => {
      const created: Array<Cluster> = []
      internals[symbol] = (options) => {
        const cluster = createCluster(options)
        created.push(cluster)
        return cluster
      }
      const producer = kafka.producer(config)
      const [cluster] = created
      if (cluster === undefined) throw new Error("kafkajs made a producer without a cluster")
      return { producer, cluster }
    },
    createCluster: () =>
      createCluster({
        metadataMaxAge: settings.metadataMaxAgeMillis,
        allowAutoTopicCreation: false,
        maxInFlightRequests: null,
        instrumentationEmitter: null,
        isolationLevel: readUncommitted
      })
  }
}

// `pinnedFiles` has checked at the layer's start that this is the kafkajs which has that symbol.
const createClusterSymbol = (kafka: Kafka): symbol =>
  Object.getOwnPropertySymbols(kafka).find(({ description }) =>
    description === "private:Kafka:createCluster"
  ) ?? Symbol("missing")

const configOf = (
  settings: Settings,
  gate: SocketGate,
  logging: Logging,
  requestTimeoutMillis: number
): KafkaConfig => {
  return {
    // kafkajs asks for texts, and would split them at their colons; `repair` gives the addresses.
    brokers: settings.brokers.map(({ host, port }) => `${host}:${port}`),
    clientId: settings.clientId,
    ssl: settings.tls === null ? false : tlsOf(settings.tls),
    ...(settings.sasl === null ? {} : { sasl: saslOf(settings.sasl) }),
    connectionTimeout: settings.connectionTimeoutMillis,
    authenticationTimeout: settings.authenticationTimeoutMillis,
    reauthenticationThreshold: settings.reauthenticationThresholdMillis,
    requestTimeout: requestTimeoutMillis,
    enforceRequestTimeout: true,
    retry: noRetry,
    socketFactory: gate.socketFactory,
    logLevel: logging.logLevel,
    logCreator: logging.logCreator
  }
}

// kafkajs and Node take secrets as text; this is the one place where they are unwrapped.
const saslOf = (sasl: NonNullable<Settings["sasl"]>): SASLOptions | Mechanism => {
  if (sasl.mechanism === "oauthbearer") {
    return {
      mechanism: sasl.mechanism,
      authenticationProvider: OAuthBearer.provider(sasl.tokens)
    }
  }
  const { mechanism, username } = sasl
  const withPassword: SASLOptions = { mechanism, username, password: Redacted.value(sasl.password) }
  return withPassword
}

const tlsOf = (tls: TlsOptions): ConnectionOptions => ({
  rejectUnauthorized: true,
  ...(tls.ca === undefined ? {} : { ca: typeof tls.ca === "string" ? tls.ca : [...tls.ca] }),
  ...(tls.cert === undefined ? {} : { cert: tls.cert }),
  ...(tls.key === undefined ? {} : { key: Redacted.value(tls.key) }),
  ...(tls.passphrase === undefined ? {} : { passphrase: Redacted.value(tls.passphrase) }),
  ...(tls.serverName === undefined ? {} : { servername: tls.serverName })
})

/**
 * How a text of kafkajs is told: with the user that it is about, and without the password or the
 * token, for a server may answer with what it was sent.
 */
export const retell = ({ sasl }: Settings) => (text: string): string => {
  if (sasl === null) return text
  const isToken = sasl.mechanism === "oauthbearer"
  const told = without(text, isToken ? sasl.tokens.newest() : Redacted.value(sasl.password))
  if (!told.includes("SASL")) return told
  const mechanism = sasl.mechanism.toUpperCase()
  return isToken ? `${mechanism}: ${told}` : `${mechanism} as user "${sasl.username}": ${told}`
}

const without = (text: string, secret: string): string =>
  secret === "" ? text : text.replaceAll(secret, "<redacted>")
