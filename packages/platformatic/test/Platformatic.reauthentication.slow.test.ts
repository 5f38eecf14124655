/** A broker that lets a SASL session live for three seconds (KIP-368). */
import { assert, layer } from "@effect/vitest"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Platformatic from "../src/Platformatic.ts"

const { batch, open, transact } = DriverSteps

const sessions = 8
const connections = 2
const lastsMillis = 7_000

layer(
  ProxiedKafka.layer({ listeners: "sasl", properties: { "connections.max.reauth.ms": "3000" } }),
  { timeout: "3 minutes", excludeTestServices: true }
)("platformatic on sessions that end", (it) => {
  it.effect(
    "connections authenticate anew under load, and no request of a transaction fails",
    () =>
      Effect.gen(function*() {
        const { createTopic, users } = yield* EmbeddedKafka.EmbeddedKafka
        const proxy = yield* ProxiedKafka.Proxy
        yield* createTopic("renewed", { partitions: sessions })
        const opened = yield* proxy.connections.opened
        const until = performance.now() + lastsMillis
        const counts = yield* Effect.forEach(
          Array.from({ length: sessions }, (_, index) => index),
          (index) =>
            Effect.gen(function*() {
              const { session } = yield* open(`renewed-${index}`)
              let count = 0
              while (performance.now() < until) {
                yield* transact(session, [batch("renewed", index, `${count++}`)], "commit")
              }
              return count
            }),
          { concurrency: "unbounded" }
        ).pipe(
          Effect.scoped,
          Effect.provide(Platformatic.layer({
            brokers: proxy.addresses,
            insecure: true,
            connectionsPerBroker: connections,
            reauthenticationThreshold: "2 seconds",
            sasl: {
              mechanism: "scram-sha-512",
              username: "admin",
              password: Redacted.make(users["admin"] ?? "")
            }
          }))
        )
        const handshakes = (yield* proxy.log.entries).filter(({ api }) => api === "SaslHandshake")
        // Each connection renews its session at half of its life, and none is replaced.
        assert.isAtMost((yield* proxy.connections.opened) - opened, connections)
        assert.isAtLeast(handshakes.length, connections * 3)
        assert.isAtLeast(Math.min(...counts), 10)
      }),
    60_000
  )
})
