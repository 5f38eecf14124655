/**
 * `npm run prove`: what raw clients do when the network loses something, beside this library.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as Contender from "@kafka-once/proof/Contender"
import * as Scenario from "@kafka-once/proof/Scenario"
import * as Scenarios from "@kafka-once/proof/Scenarios"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import { writeFile } from "node:fs/promises"
import { parse, type ProveArguments } from "./ProveArguments.ts"
import * as ProveReport from "./ProveReport.ts"
import * as RawKafkaJs from "./RawKafkaJs.ts"
import * as RawPlatformatic from "./RawPlatformatic.ts"

/** A client that is proved: by hand, and under the library. */
interface Driver {
  readonly name: string
  readonly raw: Effect.Effect<Contender.Contender, never, Scope.Scope>
  readonly library: Contender.Contender
  readonly scenarios: ReadonlyArray<Scenario.Scenario>
}

const drivers: ReadonlyArray<Driver> = [
  {
    name: "kafkajs",
    raw: RawKafkaJs.make,
    library: Contender.library((brokers) => KafkaJs.layer({ brokers })),
    scenarios: Scenarios.ofKafkaJs
  },
  {
    name: "@platformatic/kafka",
    raw: RawPlatformatic.make,
    library: Contender.library((brokers, user) =>
      Platformatic.layer({ brokers, ...RawPlatformatic.saslOf(user) })
    ),
    scenarios: Scenarios.ofPlatformatic
  }
]

// Far above what a run takes, so that only what hangs meets it.
const bound = "60 seconds"

const proveOne = (driver: Driver, scenario: Scenario.Scenario) =>
  Effect.gen(function*() {
    const raw = yield* Effect.scoped(Effect.flatMap(driver.raw, scenario.run)).pipe(
      Effect.timeout(bound)
    )
    const library = yield* scenario.run(driver.library).pipe(Effect.timeout(bound))
    const row = { scenario: scenario.id, driver: driver.name, raw, library }
    yield* Console.log(ProveReport.block(scenario, row))
    return row
  }).pipe(Effect.mapError((error) => `${scenario.id} could not be run: ${messageOf(error)}`))

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

const prove = ({ json, only }: ProveArguments) =>
  Effect.gen(function*() {
    const startedAt = performance.now()
    const chosen = drivers.flatMap((driver) =>
      driver.scenarios.filter(({ id }) => only.includes(id)).map((scenario) => ({
        driver,
        scenario
      }))
    )
    const proveOn = (on: Scenario.Scenario["on"]) =>
      Effect.forEach(
        chosen.filter(({ scenario }) => scenario.on === on),
        ({ driver, scenario }) => proveOne(driver, scenario)
      )
    const rows = [
      ...yield* Effect.provide(proveOn("everybody"), Scenario.layer()),
      ...chosen.some(({ scenario }) => scenario.on === "users")
        ? yield* Effect.provide(proveOn("users"), Scenario.layerWithUsers())
        : []
    ]
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0)
    yield* Console.log(`${ProveReport.summary(rows)}; ${seconds} s`)
    if (json !== null) {
      yield* Effect.tryPromise(() => writeFile(json, `${JSON.stringify(rows, null, 2)}\n`))
    }
    return ProveReport.exitCode(rows)
  }).pipe(
    Effect.catchCause((cause) => Effect.as(Console.error(messageOf(Cause.squash(cause))), 1)),
    Effect.map((code) => {
      process.exitCode = code
    }),
    // The library warns of what the proxy does to it; the table says what became of that.
    Effect.provide(Logger.layer([]))
  )

const parsed = parse(process.argv.slice(2))
if (parsed._tag === "Exit") {
  const stream = parsed.code === 0 ? process.stdout : process.stderr
  stream.write(`${parsed.text}\n`)
  process.exitCode = parsed.code
} else {
  NodeRuntime.runMain(prove(parsed.arguments))
}
