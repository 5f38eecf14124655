/** In a process of its own, for what a process has open and is warned of is the whole process's. */
import { assert, layer } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { batch, open, sendAll, until } from "@kafka-once/proof/DriverSteps"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as KafkaJs from "../src/KafkaJs.ts"

/**
 * Open sockets and timers of this process, looked at outside of every timer: a timer counts while
 * it runs its callback, and a test that asks again is run by one.
 */
const resources = Effect.callback<ReadonlyArray<string>>((resume) => {
  setImmediate(() => {
    const names = process.getActiveResourcesInfo()
    resume(Effect.succeed(names.filter((name) => /^(TCP|TLS|Timeout)/.test(name)).sort()))
  })
})

/** What Node warns of while an effect runs. */
const warningsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const names: Array<string> = []
    const listener = (warning: Error) => names.push(warning.name)
    process.on("warning", listener)
    return effect.pipe(
      Effect.as(names),
      Effect.ensuring(Effect.sync(() => process.off("warning", listener)))
    )
  })

/** What there is more of. */
const more = (now: ReadonlyArray<string>, before: ReadonlyArray<string>) => {
  const rest = [...before]
  return now.filter((name) => {
    const at = rest.indexOf(name)
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
}

layer(EmbeddedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
  "what kafkajs leaves behind",
  (it) => {
    it.effect("no socket, no timer and no warning (K20, P3)", () =>
      Effect.gen(function*() {
        const { bootstrapServers: brokers, createTopic } = yield* EmbeddedKafka.EmbeddedKafka
        yield* createTopic("left-behind")
        const before = yield* resources
        const work = Effect.scoped(Effect.gen(function*() {
          const kafka = yield* KafkaDriver
          yield* kafka.probe
          for (let index = 0; index < 5; index++) {
            // Each of these fences the one before, whose transaction is still open.
            const { session } = yield* open("left-behind")
            yield* session.begin
            yield* sendAll(session, [batch("left-behind", 0, "a")])
          }
          assert.isAbove((yield* resources).length, before.length)
        })).pipe(Effect.provide(KafkaJs.layer({ brokers })))
        assert.deepStrictEqual(yield* warningsOf(work), [])
        const after = yield* until(resources, (now) => more(now, before).length === 0)
        assert.deepStrictEqual(more(after, before), [])
      }))
  }
)
