/**
 * What a test of a driver's consumer stands on: a topic and a group of its own, on a broker behind
 * a fault proxy.
 *
 * @since 0.1.0
 */
import type { Vitest } from "@effect/vitest"
import type { ConsumerSessionOptions, GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as Consumer from "./ConsumerSteps.ts"
import * as Steps from "./DriverSteps.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * The tests of one suite.
 *
 * @since 0.1.0
 */
export type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/**
 * What is tested: a driver, and the protocol that its groups speak.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly driver: DriverAt
  readonly groupProtocol: GroupProtocolName
}

/**
 * What differs from suite to suite.
 *
 * **Details**
 *
 * *Shape*: `groupProtocol` is the classic one by default; `broker` is the broker that the suite
 * runs on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly groupProtocol?: GroupProtocolName
  readonly broker?: EmbeddedKafka.Options
}

/**
 * A topic and a group of its own, and the proxy's driver.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bench {
  readonly topic: string
  readonly groupId: string
  readonly proxy: ProxiedKafka.Proxy["Service"]
  readonly options: (changes?: Partial<ConsumerSessionOptions>) => ConsumerSessionOptions
}

/**
 * In the consumer protocol the times are the broker's: as those of `ConsumerSteps.options`.
 *
 * @since 0.1.0
 */
export const consumerProtocolTimes = {
  "group.consumer.min.heartbeat.interval.ms": "100",
  "group.consumer.heartbeat.interval.ms": "200",
  "group.consumer.min.session.timeout.ms": "1000",
  "group.consumer.session.timeout.ms": "6000"
} as const

/**
 * A broker, or several, behind a proxy, with short times in both protocols.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (broker: EmbeddedKafka.Options = {}) =>
  ProxiedKafka.layer({ ...broker, properties: { ...consumerProtocolTimes, ...broker.properties } })

/**
 * Runs a test with a topic of its own.
 *
 * @since 0.1.0
 */
export const withTopic = <E>(
  { driver, groupProtocol }: Subject,
  topicOptions: EmbeddedKafka.TopicOptions,
  test: (bench: Bench) => Effect.Effect<unknown, E, KafkaDriver | Scope.Scope>
) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* ProxiedKafka.Proxy
    const id = randomUUID().slice(0, 8)
    const [topic, groupId] = [`topic-${id}`, `group-${id}`]
    yield* kafka.createTopic(topic, topicOptions)
    yield* Effect.scoped(test({
      topic,
      groupId,
      proxy,
      options: (changes) => Consumer.options(groupId, [topic], { groupProtocol, ...changes })
    })).pipe(Effect.provide(driver(proxy.addresses)))
  })

/**
 * Whole transactions of one session after another, each with its end, into the first partition.
 *
 * @since 0.1.0
 */
export const write = Effect.fnUntraced(function*(
  topic: string,
  ...transactions: ReadonlyArray<
    readonly [end: "commit" | "abort", ...values: ReadonlyArray<string>]
  >
) {
  const { session } = yield* Steps.open(`writer-${randomUUID()}`)
  yield* Effect.forEach(
    transactions,
    ([end, ...values]) => Steps.transact(session, [Steps.batch(topic, 0, ...values)], end)
  )
})

/**
 * The first partition of a topic.
 *
 * @since 0.1.0
 */
export const first = (topic: string) => ({ topic, partition: 0 })
