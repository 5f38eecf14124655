// A program that knows of a transaction only the error that it is given, and finds its outcome:
// the addresses are its arguments, the error is its input, the outcome's tag its output.
import { KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import * as Platformatic from "../src/Platformatic.ts"

const input: unknown = JSON.parse(readFileSync(0, "utf8"))

Schema.decodeUnknownEffect(Schema.toCodecJson(KafkaError))(input).pipe(
  Effect.flatMap(Transaction.resolve),
  Effect.flatMap(({ _tag }) => Effect.sync(() => process.stdout.write(_tag))),
  Effect.provide(Platformatic.layer({ brokers: process.argv.slice(2) })),
  Effect.runPromise
)
