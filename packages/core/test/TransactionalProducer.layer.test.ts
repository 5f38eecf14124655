import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as DriverDouble from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

/** The options of a producer as a program reads them from its environment. */
const config = {
  transactionalId: Config.String("TRANSACTIONAL_ID"),
  transactionTimeout: Config.Duration("TRANSACTION_TIMEOUT")
}

const fromEnvironment = (env: Record<string, string>) =>
  Effect.gen(function*() {
    const double = yield* DriverDouble.make()
    const layer = TransactionalProducer.layerConfig(config).pipe(
      Layer.provide(Layer.succeed(KafkaDriver, double.driver)),
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
    )
    const exit = yield* TransactionalProducer.TransactionalProducer.use((producer) =>
      Effect.as(
        producer.begin().pipe(
          Effect.flatMap((transaction) => transaction.send([Rig.record("a")])),
          Effect.scoped
        ),
        producer.transactionalId
      )
    ).pipe(Effect.provide(layer), Effect.exit)
    return { double, exit }
  })

describe("a producer as a layer", () => {
  it.effect("options that cannot be read fail the layer, and nothing is asked of a broker", () =>
    Effect.gen(function*() {
      const { double, exit } = yield* fromEnvironment({ TRANSACTIONAL_ID: "orders-7" })
      assert.isTrue(Exit.isFailure(exit))
      assert.include(JSON.stringify(exit), "TRANSACTION_TIMEOUT")
      assert.deepStrictEqual(double.operations(), [])
    }))

  it.effect("options that are read but cannot work fail with the setting's name", () =>
    Effect.gen(function*() {
      const env = { TRANSACTIONAL_ID: "orders-7", TRANSACTION_TIMEOUT: "2 seconds" }
      const { double, exit } = yield* fromEnvironment(env)
      assert.strictEqual(Rig.reason(exit, "Misconfigured").setting, "commitTimeout")
      assert.deepStrictEqual(double.operations(), [])
    }))

  it.effect("options from the environment are the producer's", () =>
    Effect.gen(function*() {
      const env = { TRANSACTIONAL_ID: "orders-7", TRANSACTION_TIMEOUT: "12 seconds" }
      const { double, exit } = yield* fromEnvironment(env)
      assert.deepStrictEqual(exit, Exit.succeed("orders-7"))
      assert.deepStrictEqual(double.visible(), ["a"])
    }))

  it.effect("the plain layer begins, commits and closes", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const layer = TransactionalProducer.layer({ transactionalId: "orders-0" }).pipe(
        Layer.provide(Layer.succeed(KafkaDriver, double.driver))
      )
      yield* TransactionalProducer.TransactionalProducer.use((producer) =>
        Effect.scoped(
          Effect.flatMap(producer.begin(), (transaction) => transaction.send([Rig.record("a")]))
        )
      ).pipe(Effect.provide(layer))
      assert.deepStrictEqual(double.visible(), ["a"])
    }))
})
