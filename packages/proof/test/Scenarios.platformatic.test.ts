import { assert, layer, type Vitest } from "@effect/vitest"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as Effect from "effect/Effect"
import * as RawPlatformatic from "../scripts/RawPlatformatic.ts"
import * as Contender from "../src/Contender.ts"
import * as Scenario from "../src/Scenario.ts"
import * as Scenarios from "../src/Scenarios.ts"

const library = Contender.library((brokers, user) =>
  Platformatic.layer({ brokers, ...RawPlatformatic.saslOf(user) })
)

/** What of the raw client's verdict must be there, whatever the words around it. */
const anomalies: Readonly<Record<string, ReadonlyArray<string>>> = {
  P7: [`the program has aborted "second", and readers see it`],
  P8: ["no transaction can be begun any more", "PRODUCER_FENCED"],
  P9: ["the transaction is committed, and of its two records 1 are visible"],
  P10: ["the transaction is committed, and the positions are 1 and none"],
  P11: ["CLUSTER_AUTHORIZATION_FAILED"],
  P12: ["the program is told nothing within 2 seconds"]
}

const scenarios = (on: Scenario.Scenario["on"]) => (it: Vitest.MethodsNonLive<Scenario.Needs>) => {
  const chosen = Scenarios.ofPlatformatic.filter((scenario) => scenario.on === on)
  it.effect.each(chosen)(
    "$id by hand does not hold: $title",
    ({ id, run }) =>
      Effect.gen(function*() {
        const { holds, what } = yield* run(yield* RawPlatformatic.make)
        assert.isFalse(holds, what)
        for (const anomaly of anomalies[id] ?? ["nothing is expected"]) {
          assert.include(what, anomaly)
        }
      })
  )

  it.effect.each(chosen)(
    "$id with the library holds: $title",
    ({ run }) =>
      Effect.gen(function*() {
        const { holds, what } = yield* run(library)
        assert.isTrue(holds, what)
      })
  )
}

const options = { timeout: "3 minutes", excludeTestServices: true } as const

layer(Scenario.layer(), options)("on @platformatic/kafka", scenarios("everybody"))
layer(Scenario.layerWithUsers(), options)("on @platformatic/kafka, with users", scenarios("users"))
