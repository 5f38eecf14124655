/**
 * P5: a producer that is no member of a live group commits positions for it, as one does that was
 * thrown out of the group and does not know it yet.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import * as LogReader from "../LogReader.ts"
import * as ProxiedKafka from "../ProxiedKafka.ts"
import type { Scenario } from "../Scenario.ts"

/**
 * The scenario.
 *
 * **Details**
 *
 * The member is made by hand, with no client: it joins, and heartbeats before and after.
 *
 * @category models
 * @since 0.1.0
 */
export const offsetsOfAStranger: Scenario = {
  id: "P5",
  title: "a producer that is no member commits positions for a live group, and is refused",
  on: "everybody",
  run: ({ copied }) =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const proxy = yield* ProxiedKafka.Proxy
      const topic = `topic-${randomUUID().slice(0, 8)}`
      yield* kafka.createTopic(topic, { partitions: 2 })
      if (copied === null) return yield* Effect.die(new Error("the client has no such thing"))
      const { heartbeat } = yield* join(kafka.bootstrapServers[0] ?? "", topic)
      yield* heartbeat
      const told = yield* copied({
        brokers: [`${proxy.host}:${proxy.port}`],
        topic,
        transactionalId: `id-${topic}`,
        groupId: topic
      })
      // It owns the group's partitions all the time; else the scenario has shown nothing.
      yield* heartbeat
      const positions = yield* LogReader.committedOffsets(kafka, topic).pipe(
        // The markers come after the answer.
        Effect.repeat({
          until: (found) => told._tag !== "Committed" || found.length > 0,
          times: 20
        })
      )
      return {
        holds: told._tag !== "Committed" && positions.length === 0,
        what: `the transaction is ${told._tag.toLowerCase()}, and the group's positions are ` +
          (positions.length === 0
            ? "its own"
            : `moved by the stranger to ${positions.map(({ offset }) => offset).join(" and ")}`)
      }
    }).pipe(Effect.scoped)
}

/** A member of a group by hand, and its heartbeat. */
const join = (address: string, groupId: string) =>
  Effect.gen(function*() {
    const [host = "", port = ""] = address.split(":")
    const client = yield* ProtocolClient.connect(host, Number(port))
    const accepted = (request: string, errorCode: number) =>
      errorCode === 0
        ? Effect.void
        : Effect.die(new Error(`${request}: ${ProtocolClient.errorName(errorCode)}`))
    const { errorCode, generationId, memberId } = yield* client.request("JoinGroup", 3, {
      groupId,
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 30_000,
      memberId: "",
      protocolType: "consumer",
      protocols: [{ name: "range", metadata: new Uint8Array(0) }]
    })
    yield* accepted("JoinGroup", errorCode)
    const membership = { groupId, generationId, memberId }
    const synced = yield* client.request("SyncGroup", 2, { ...membership, assignments: [] })
    yield* accepted("SyncGroup", synced.errorCode)
    return {
      heartbeat: Effect.flatMap(
        client.request("Heartbeat", 2, membership),
        (answer) => accepted("Heartbeat", answer.errorCode)
      )
    }
  })
