/**
 * P10: the offsets of two partitions are added to one transaction, both at once.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import * as ProxiedKafka from "../ProxiedKafka.ts"
import type { Scenario } from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const concurrentOffsets: Scenario = {
  id: "P10",
  title: "the offsets of two partitions are added to one transaction at once, and it commits",
  on: "everybody",
  run: ({ copied }) =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const proxy = yield* ProxiedKafka.Proxy
      const topic = `topic-${randomUUID().slice(0, 8)}`
      yield* kafka.createTopic(topic, { partitions: 2 })
      const brokers = [`${proxy.host}:${proxy.port}`]
      if (copied === null) return yield* Effect.die(new Error("the client has no such thing"))
      const told = yield* copied({
        brokers,
        topic,
        transactionalId: `id-${topic}`,
        groupId: topic
      })
      const offsets = yield* Effect.repeat(committed(kafka.bootstrapServers[0] ?? "", topic), {
        // The markers come after the answer.
        until: (found) => found.every((offset) => offset === 1n),
        times: 20
      })
      const what = `the transaction is ${told._tag.toLowerCase()}, and the positions are ` +
        offsets.map((offset) => offset === -1n ? "none" : String(offset)).join(" and ")
      return {
        holds: told._tag === "Committed" && offsets.every((offset) => offset === 1n),
        what
      }
    }).pipe(Effect.scoped)
}

/** The group's positions in partitions 0 and 1, as the broker tells them. */
const committed = Effect.fnUntraced(function*(address: string, topic: string) {
  const [host = "", port = ""] = address.split(":")
  const client = yield* ProtocolClient.connect(host, Number(port))
  const { topics } = yield* client.request("OffsetFetch", 5, {
    groupId: topic,
    topics: [{ name: topic, partitionIndexes: [0, 1] }]
  })
  yield* Effect.sleep("50 millis")
  return [0, 1].map((partition) =>
    topics?.[0]?.partitions?.find(({ partitionIndex }) => partitionIndex === partition)
      ?.committedOffset ?? -1n
  )
}, Effect.scoped)
