/**
 * Tokens of OAuth 2 (SASL OAUTHBEARER) over a driver, from an effect.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import type * as ConnectionOptions from "@kafka-once/core/ConnectionOptions"
import * as KafkaError from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { inspect } from "node:util"
import type * as SecureDriver from "./SecureDriver.ts"

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** A token without a signature, which the broker of these tests takes. */
const tokenOf = (subject: string, lifetimeSeconds: number) =>
  Effect.map(Clock.currentTimeMillis, (millis) => {
    const now = millis / 1_000
    const claims = { sub: subject, iat: now - 1, exp: now + lifetimeSeconds }
    return Redacted.make(`${encode({ alg: "none" })}.${encode(claims)}.`)
  })

class ServerDown extends Data.TaggedError("ServerDown")<{ readonly message: string }> {}

const login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"

const committingOver =
  (driver: SecureDriver.SecureDriver) => (value: string, sasl: ConnectionOptions.SaslOptions) =>
    Effect.gen(function*() {
      const { bootstrapServers: brokers } = yield* EmbeddedKafka.EmbeddedKafka
      yield* Effect.scoped(Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({
          transactionalId: `token-${value}`,
          initializeTimeout: "1 second"
        })
        yield* Transaction.send([{ topic: "tokens", value }]).pipe(producer.withTransaction())
      })).pipe(Effect.provide(driver({ brokers, sasl, insecure: true })))
    })

/**
 * Runs the suite over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: SecureDriver.SecureDriver): void => {
  const committing = committingOver(driver)

  layer(
    EmbeddedKafka.layer({
      listeners: "sasl",
      properties: {
        "listener.name.direct.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.direct.oauthbearer.sasl.jaas.config":
          `${login} unsecuredLoginStringClaim_sub="broker";`
      }
    }),
    { timeout: "3 minutes", excludeTestServices: true }
  )(`${name} with tokens`, (it) => {
    it.effect("a token is asked for once a connection, and a transaction committed with it", () =>
      Effect.gen(function*() {
        const { createTopic } = yield* EmbeddedKafka.EmbeddedKafka
        yield* createTopic("tokens")
        let asked = 0
        const token = Effect.tap(tokenOf("app", 60), () => Effect.sync(() => asked++))
        yield* committing("good", { mechanism: "oauthbearer", token })
        assert.isAtLeast(asked, 1)
        assert.isAtMost(asked, 4)
      }))

    it.effect("a token that has expired is refused, and told nowhere", () =>
      Effect.gen(function*() {
        const token = tokenOf("app", -1)
        const secret = Redacted.value(yield* token)
        const error = yield* Effect.flip(committing("expired", { mechanism: "oauthbearer", token }))
        assert(KafkaError.isKafkaError(error))
        assert.strictEqual(error.reason._tag, "AuthenticationFailed")
        assert.include(error.message, "OAUTHBEARER")
        assert.notInclude(inspect(error, { depth: 20 }), secret.slice(0, 40))
      }))

    it.effect("an effect that fails is run again until the deadline, and its error is told", () =>
      Effect.gen(function*() {
        let asked = 0
        const token = Effect.suspend(() => {
          asked += 1
          return Effect.fail(new ServerDown({ message: "the token server is down" }))
        })
        const error = yield* Effect.flip(committing("down", { mechanism: "oauthbearer", token }))
        assert(KafkaError.isKafkaError(error))
        assert.strictEqual(error.reason._tag, "Unreachable")
        assert.include(error.message, "the token server is down")
        assert.isAbove(asked, 1)
      }))

    it.effect("an effect that never ends is given up", () =>
      Effect.gen(function*() {
        let interrupted = 0
        const token = Effect.never.pipe(
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              interrupted += 1
            })
          )
        )
        const error = yield* Effect.flip(committing("never", { mechanism: "oauthbearer", token }))
        assert(KafkaError.isKafkaError(error))
        assert.strictEqual(error.reason._tag, "Unreachable")
        assert.isAbove(interrupted, 0)
      }))

    it.effect("a mechanism that the broker does not offer is told by its name, at once", () =>
      Effect.gen(function*() {
        const password = Redacted.make("canary-77aa")
        const error = yield* committing("scram", {
          mechanism: "scram-sha-512",
          username: "app",
          password
        }).pipe(Effect.flip, Effect.timeout("2 seconds"))
        assert(KafkaError.isKafkaError(error))
        assert.strictEqual(error.reason._tag, "AuthenticationFailed")
        assert.include(error.message, "SCRAM-SHA-512")
        assert.include(error.message, "Check user, password and SASL mechanism")
        assert.notInclude(inspect(error, { depth: 20 }), "canary-77aa")
      }))
  })
}
