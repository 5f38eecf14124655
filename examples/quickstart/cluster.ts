/**
 * Where the quickstart runs: an embedded broker behind a proxy that can cut the network, or a
 * cluster of the user's own.
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import { createTopics } from "./topic.ts"

/** What the topics and the group are called. */
export interface Names {
  readonly group: string
  readonly raw: string
  readonly flights: string
  readonly delays: string
  readonly dead: string
}

/** A place to write to and to read from. */
export interface Cluster {
  readonly description: string
  readonly names: Names
  /** For the workers. */
  readonly brokers: ReadonlyArray<string>
  /** For the one that writes the input and reads the results. */
  readonly direct: ReadonlyArray<string>
  readonly classPath: string | undefined
  /** The network between the workers and the broker, `null` where it cannot be cut. */
  readonly network: Pick<FaultProxy.FaultProxy, "blackhole" | "heal"> | null
}

/** Of the input, and of its results. */
export const partitions = 6

const partitionsOf = ({ dead, delays, flights, raw }: Names) =>
  new Map([[raw, partitions], [flights, partitions], [delays, partitions], [dead, 1]])

/** The user's own cluster, or an embedded broker where none is named. */
export const make = (brokers: ReadonlyArray<string> | null) =>
  brokers === null ? embedded : existing(brokers)

const embedded = Effect.gen(function*() {
  const proxy = yield* FaultProxy.make()
  const kafka = yield* EmbeddedKafka.make({ proxiedPorts: [proxy.port] })
  const [host, port] = kafka.proxied[0]!.upstream.split(":")
  yield* proxy.connectTo({ host: host!, port: Number(port) })
  const names: Names = {
    group: "quickstart",
    raw: "flights-raw",
    flights: "flights",
    delays: "airport-delays",
    dead: "flights-dead"
  }
  for (const [name, partitions] of partitionsOf(names)) {
    yield* kafka.createTopic(name, { partitions })
  }
  const cluster: Cluster = {
    description: `Apache Kafka ${kafka.version}, embedded`,
    names,
    brokers: proxy.addresses,
    direct: kafka.bootstrapServers,
    classPath: kafka.classPath,
    network: proxy
  }
  return cluster
})

const existing = (brokers: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const group = `kafka-once-quickstart-${randomUUID().slice(0, 8)}`
    const names: Names = {
      group,
      raw: `${group}-raw`,
      flights: `${group}-flights`,
      delays: `${group}-delays`,
      dead: `${group}-dead`
    }
    yield* createTopics(brokers, partitionsOf(names))
    const { group: _, ...topics } = names
    const cluster: Cluster = {
      description: `Your cluster at ${brokers.join(", ")}; these topics are left behind: ` +
        Object.values(topics).join(", "),
      names,
      brokers,
      direct: brokers,
      classPath: undefined,
      network: null
    }
    return cluster
  })
