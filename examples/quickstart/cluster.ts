/**
 * Where the quickstart runs: an embedded broker behind a proxy that can lose an answer, or a
 * cluster of the user's own.
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import type { FaultProxyError } from "@kafka-once/testing/FaultProxyError"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import { createTopic } from "./topic.ts"

/** A place to write to and to read from. */
export interface Cluster {
  readonly description: string
  readonly brokers: ReadonlyArray<string>
  readonly readFrom: ReadonlyArray<string>
  readonly classPath?: string
  readonly topic: string
  /** Runs an effect while the answer of the nth Produce request is lost. */
  readonly withLostAnswer: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    nth: number
  ) => Effect.Effect<A, E | FaultProxyError, R>
  readonly lostAnswers: number
}

const partitions = 6

/** The user's own cluster, or an embedded broker where none is named. */
export const make = (brokers: ReadonlyArray<string> | null) =>
  brokers === null ? embedded : existing(brokers)

const embedded = Effect.gen(function*() {
  const proxy = yield* FaultProxy.make()
  const kafka = yield* EmbeddedKafka.make({ proxiedPorts: [proxy.port] })
  const [host, port] = kafka.proxied[0]!.upstream.split(":")
  yield* proxy.connectTo({ host: host!, port: Number(port) })
  const topic = "flights"
  yield* kafka.createTopic(topic, { partitions })
  const cluster: Cluster = {
    description: `Apache Kafka ${kafka.version}, embedded`,
    brokers: [`${proxy.host}:${proxy.port}`],
    readFrom: kafka.bootstrapServers,
    classPath: kafka.classPath,
    topic,
    // The rule fails the run if the fault never happened.
    withLostAnswer: (effect, nth) =>
      proxy.withRule(FaultProxyRule.dropResponse({ api: "Produce", nth }))(effect),
    lostAnswers: 1
  }
  return cluster
})

const existing = (brokers: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const topic = `kafka-once-quickstart-${randomUUID()}`
    yield* createTopic(brokers, topic, partitions)
    const cluster: Cluster = {
      description: `Your cluster at ${brokers.join(", ")}, topic ${topic}`,
      brokers,
      readFrom: brokers,
      topic,
      withLostAnswer: (effect) => effect,
      lostAnswers: 0
    }
    return cluster
  })
