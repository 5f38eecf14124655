import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Kafka, logLevel } from "kafkajs"
import { createTopic, Rig } from "./FaultProxyRig.ts"

const rounds = 9

/** What else runs on the machine only ever slows a round down. */
const best = (values: ReadonlyArray<number>): number => Math.max(...values)

layer(Rig.layer, { timeout: "3 minutes", excludeTestServices: true })("overhead", (it) => {
  it.effect(
    "less than a tenth of the throughput is lost when no rule matches",
    () =>
      Effect.gen(function*() {
        const { direct, proxy } = yield* Rig
        yield* createTopic("overhead")
        const messages = Array.from(
          { length: 500 },
          () => ({ value: "x".repeat(100), partition: 0 })
        )
        const connect = (address: { readonly host: string; readonly port: number }) =>
          Effect.promise(async () => {
            const producer = new Kafka({
              clientId: "overhead",
              brokers: [`${address.host}:${address.port}`],
              logLevel: logLevel.NOTHING
            }).producer({ allowAutoTopicCreation: false })
            await producer.connect()
            return producer
          })
        const producers = {
          direct: yield* connect(direct),
          proxied: yield* connect(proxy)
        }
        const recordsPerSecond = (producer: typeof producers.direct) =>
          Effect.promise(async () => {
            const start = performance.now()
            for (let count = 0; count < 100; count++) {
              await producer.send({ topic: "overhead", messages })
            }
            return (100 * messages.length * 1000) / (performance.now() - start)
          })
        const results = { direct: [] as Array<number>, proxied: [] as Array<number> }
        yield* recordsPerSecond(producers.direct)
        yield* recordsPerSecond(producers.proxied)
        for (let round = 0; round < rounds; round++) {
          results.direct.push(yield* recordsPerSecond(producers.direct))
          results.proxied.push(yield* recordsPerSecond(producers.proxied))
        }
        yield* Effect.promise(() => producers.direct.disconnect())
        yield* Effect.promise(() => producers.proxied.disconnect())
        const seen = yield* proxy.log.entries
        assert.isAbove(seen.filter(({ api }) => api === "Produce").length, 900)
        const lost = 1 - best(results.proxied) / best(results.direct)
        yield* Effect.log({
          directRecordsPerSecond: Math.round(best(results.direct)),
          proxiedRecordsPerSecond: Math.round(best(results.proxied)),
          lostShare: lost.toFixed(3)
        })
        assert.isBelow(lost, 0.1)
      }),
    170_000
  )
})
