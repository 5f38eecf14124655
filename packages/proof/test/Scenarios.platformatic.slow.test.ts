/** With the library the scenarios hold whatever the broker's version, and that of its protocol. */
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

const scenarios = (on: Scenario.Scenario["on"]) => (it: Vitest.MethodsNonLive<Scenario.Needs>) => {
  it.effect.each(Scenarios.ofPlatformatic.filter((scenario) => scenario.on === on))(
    "$id with the library holds: $title",
    ({ run }) =>
      Effect.gen(function*() {
        const { holds, what } = yield* run(library)
        assert.isTrue(holds, what)
      })
  )
}

const options = { timeout: "3 minutes", excludeTestServices: true } as const

for (
  const [name, broker] of [
    ["at version 1", { features: { "transaction.version": 1 } }],
    ["on Kafka 4.0", { version: "4.0.1" }]
  ] as const
) {
  layer(Scenario.layer(broker), options)(name, scenarios("everybody"))
  layer(Scenario.layerWithUsers(broker), options)(`${name}, with users`, scenarios("users"))
}
