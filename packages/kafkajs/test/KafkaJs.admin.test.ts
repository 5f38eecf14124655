import { assert, it } from "@effect/vitest"
import * as TransactionAdmin from "@kafka-once/core/TransactionAdmin"
import * as Effect from "effect/Effect"
import * as KafkaJs from "../src/KafkaJs.ts"

it.effect("there is no transaction admin over kafkajs, and it says so before it connects", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(
      TransactionAdmin.make().pipe(Effect.provide(KafkaJs.layer({ brokers: ["127.0.0.1:1"] })))
    )
    assert(error._tag === "TransactionAdminError")
    assert.deepInclude(error.reason, { _tag: "UnsupportedByDriver", driver: "kafkajs" })
  }))
