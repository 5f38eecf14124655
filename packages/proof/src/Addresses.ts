/**
 * IPv6 over a driver: the address of the bootstrap server, and those that a broker tells.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createServer } from "node:net"
import type { DriverAt } from "./ProducerBench.ts"
import * as Relay from "./Relay.ts"

const options = { timeout: "3 minutes", excludeTestServices: true } as const

/** A port that is free on ::1; nobody listens on the same one of 127.0.0.1 in these tests. */
const freePort = Effect.callback<number, Error>((resume) => {
  const server = createServer()
  server.on("error", (error) => resume(Effect.fail(error)))
  server.listen({ port: 0, host: "::1" }, () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

// The broker tells an address as long as this one, so that it can be put in its place.
const told = "127.0.0.1"
const loopback = "0:0:0::01"

const onLoopback = (bytes: Buffer): Buffer =>
  Buffer.from(bytes.toString("latin1").replaceAll(told, loopback), "latin1")

/**
 * Runs the suite over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  layer(
    Layer.unwrap(Effect.map(freePort, (port) => EmbeddedKafka.layer({ proxiedPorts: [port] }))),
    options
  )(`${name} over IPv6`, (it) => {
    it.effect("a transaction is committed with a broker that is at ::1 and says so", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        const [proxied] = kafka.proxied
        assert(proxied !== undefined)
        const port = Number(proxied.advertised.split(":")[1])
        let replaced = 0
        const relay = yield* Relay.listen({
          to: proxied.upstream,
          host: "::1",
          port,
          answered: (bytes) => {
            if (bytes.includes(told)) replaced += 1
            return onLoopback(bytes)
          }
        })
        yield* kafka.createTopic("six")
        yield* Effect.scoped(Effect.gen(function*() {
          const producer = yield* TransactionalProducer.make({ transactionalId: "six" })
          yield* Transaction.send([{ topic: "six", value: "a" }]).pipe(producer.withTransaction())
        })).pipe(Effect.provide(driver(["[::1]:9", `[::1]:${port}`])))
        // Metadata and FindCoordinator told an address, and it was connected to.
        assert.isAtLeast(replaced, 2)
        assert.isAtLeast(relay.opened(), 2)
        assert.lengthOf(yield* CommittedRecords.read({ ...kafka, topic: "six" }), 1)
      }))
  })
}
