import { assert, layer } from "@effect/vitest"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as Effect from "effect/Effect"
import * as RawKafkaJs from "../scripts/RawKafkaJs.ts"
import * as Contender from "../src/Contender.ts"
import * as Scenario from "../src/Scenario.ts"
import * as Scenarios from "../src/Scenarios.ts"

const library = Contender.library((brokers) => KafkaJs.layer({ brokers }))

/** What of the raw client's verdict must be there, whatever the words around it. */
const anomalies: Readonly<Record<string, ReadonlyArray<string>>> = {
  P1: [
    `"committed" was committed and is lost`,
    `"committed" was acknowledged at offset 0, where the aborted record "aborted" is`
  ],
  P2: [`"aborted" was aborted and is visible all the same`],
  P3: ["after the close the client opened", "Produce", `"late" was appended after the close`],
  P4: [`the commit of "first" failed`, "it is committed", "no transaction can be begun any more"],
  P5: ["the transaction is committed", "moved by the stranger to 1 and 1"],
  P13: ["TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "KafkaJSGroupCoordinatorNotFound"],
  P14: ["is lost", "is visible 2 times"]
}

layer(Scenario.layer(), { timeout: "3 minutes", excludeTestServices: true })("on kafkajs", (it) => {
  it.effect.each(Scenarios.ofKafkaJs)(
    "$id by hand does not hold: $title",
    ({ id, run }) =>
      Effect.gen(function*() {
        const { holds, what } = yield* run(yield* RawKafkaJs.make)
        assert.isFalse(holds, what)
        for (const anomaly of anomalies[id] ?? ["nothing is expected"]) {
          assert.include(what, anomaly)
        }
      }).pipe(Effect.scoped)
  )

  it.effect.each(Scenarios.ofKafkaJs)(
    "$id with the library holds: $title",
    ({ run }) =>
      Effect.gen(function*() {
        const { holds, what } = yield* run(library)
        assert.isTrue(holds, what)
      })
  )
})
