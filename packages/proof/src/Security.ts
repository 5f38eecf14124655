/**
 * Credentials, rights and certificates over a driver, each against a real listener.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type * as ConnectionOptions from "@kafka-once/core/ConnectionOptions"
import { DriverError } from "@kafka-once/core/KafkaDriver"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as DriverSteps from "./DriverSteps.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"
import type * as SecureDriver from "./SecureDriver.ts"

const { batch, open, sendAll, told, transact } = DriverSteps

const requestTimeoutMillis = 2_000

type Open = (
  transactionalId: string,
  options: ConnectionOptions.ConnectionOptions
) => Effect.Effect<DriverSteps.Opened, SecureDriver.LayerError | DriverError>

const saslOf = (
  mechanism: ConnectionOptions.SaslPassword["mechanism"],
  username: string,
  password: string
): ConnectionOptions.SaslPassword => ({ mechanism, username, password: Redacted.make(password) })

/**
 * What a batch to a topic that may be written to, one that may not, and one that may not be seen,
 * and then a group's offsets are told, in one transaction.
 *
 * @category models
 * @since 0.1.0
 */
export type Refusals = readonly [mine: string, readOnly: string, hidden: string, offsets: string]

type Sasl = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

const credentials = (it: Sasl, opening: Open): void => {
  it.effect.each(["plain", "scram-sha-256", "scram-sha-512"] as const)(
    "the right password is taken, with %s",
    (mechanism) =>
      Effect.gen(function*() {
        const { bootstrapServers: brokers, users } = yield* EmbeddedKafka.EmbeddedKafka
        const sasl = saslOf(mechanism, "admin", users["admin"] ?? "")
        const { identity } = yield* opening("right", { brokers, sasl, insecure: true })
        assert.isTrue(identity.producerId >= 0n)
      })
  )

  it.effect.each(["plain", "scram-sha-256", "scram-sha-512"] as const)(
    "the wrong password is refused once, over one connection, with %s",
    (mechanism) =>
      Effect.gen(function*() {
        const proxy = yield* ProxiedKafka.Proxy
        const before = yield* proxy.connections.opened
        const error = yield* Effect.flip(opening("wrong", {
          brokers: [`${proxy.host}:${proxy.port}`, `${proxy.host}:${proxy.port}`],
          sasl: saslOf(mechanism, "app", "not-the-password"),
          insecure: true
        }))
        assert(error instanceof DriverError)
        assert.strictEqual(told(error), "Connect: 58")
        assert.notInclude(error.detail, "not-the-password")
        assert.strictEqual((yield* proxy.connections.opened) - before, 1)
        yield* proxy.connections.awaitOpen(0)
      })
  )

  it.effect("a mechanism that the broker does not offer is told with its code", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const error = yield* Effect.flip(opening("mechanism", {
        brokers: [`${proxy.host}:${proxy.port}`],
        sasl: saslOf("scram-sha-256", "app", "any")
      })).pipe(proxy.withRule(FaultProxyRule.error({ api: "SaslHandshake" }, 33)))
      assert(error instanceof DriverError)
      assert.strictEqual(told(error), "Connect: 33")
    }))
}

const principal = "User:app"

const rights = (
  it: Sasl,
  opening: Open,
  driver: SecureDriver.SecureDriver,
  refusals: Refusals
): void => {
  it.effect("a transactional id that is not authorised is told with its code (K13, P13)", () =>
    Effect.gen(function*() {
      const { bootstrapServers: brokers, users } = yield* EmbeddedKafka.EmbeddedKafka
      const sasl = saslOf("scram-sha-512", "app", users["app"] ?? "")
      const error = yield* Effect.flip(opening("forbidden", { brokers, sasl }))
      assert(error instanceof DriverError)
      assert.strictEqual(told(error), "FindCoordinator: 53")
    }))

  it.effect("a topic or group that is not authorised is told with its own code (K10)", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const allow = (
        operation: string,
        resourceType: EmbeddedKafka.AccessRule["resourceType"],
        resource: string
      ) => kafka.addAccessRule({ principal, operation, resourceType, resource })
      for (const topic of ["hidden", "read-only", "mine"]) yield* kafka.createTopic(topic)
      yield* allow("Write", "transactionalId", "rights")
      yield* allow("Describe", "topic", "read-only")
      yield* allow("Write", "topic", "mine")
      const sasl = saslOf("scram-sha-512", "app", kafka.users["app"] ?? "")
      const told = yield* Effect.scoped(Effect.gen(function*() {
        const { session } = yield* open("rights", { requestTimeoutMillis })
        yield* transact(session, [batch("mine", 0, "a")], "commit")
        yield* session.begin
        const answers = yield* sendAll(session, [
          batch("mine", 0, "a"),
          batch("read-only", 0, "a"),
          batch("hidden", 0, "a")
        ])
        const offsets = yield* Effect.flip(session.sendOffsets(
          DriverSteps.positions("group", 0, 1n)
        ))
        // What was refused is registered nowhere, and the session is as good as new.
        yield* session.end("abort")
        yield* transact(session, [batch("mine", 0, "a")], "commit")
        return [
          ...answers.map((answer) =>
            answer._tag === "Failure" ? DriverSteps.told(answer.failure) : "ok"
          ),
          DriverSteps.told(offsets)
        ]
      })).pipe(Effect.provide(driver({ brokers: kafka.bootstrapServers, sasl })))
      assert.deepStrictEqual(told, [...refusals])
    }))
}

/**
 * Runs the suite over a driver, on brokers of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (
  name: string,
  driver: SecureDriver.SecureDriver,
  refusals: Refusals
): void => {
  const opening: Open = (transactionalId, options) =>
    Effect.scoped(open(transactionalId, { requestTimeoutMillis })).pipe(
      Effect.provide(driver(options))
    )

  layer(ProxiedKafka.layer({ listeners: "sasl", authorizer: true }), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`${name} with SASL`, (it) => {
    credentials(it, opening)
    rights(it, opening, driver, refusals)
  })

  layer(EmbeddedKafka.layer({ listeners: "tls" }), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`${name} with TLS`, (it) => {
    it.effect("a broker whose authority is trusted is connected to", () =>
      Effect.gen(function*() {
        const { bootstrapServers: brokers, ca } = yield* EmbeddedKafka.EmbeddedKafka
        const { identity } = yield* opening("tls", { brokers, tls: { ca: ca ?? "" } })
        assert.isTrue(identity.producerId >= 0n)
      }))

    it.effect("a broker whose authority is not trusted is told as a failure of TLS", () =>
      Effect.gen(function*() {
        const { bootstrapServers: brokers } = yield* EmbeddedKafka.EmbeddedKafka
        const error = yield* Effect.flip(opening("untrusted", { brokers, tls: true }))
        assert(error instanceof DriverError)
        assert.strictEqual(told(error), "Connect: TlsFailed")
      }))

    it.effect("a broker that speaks TLS to a client without is told in bounded time", () =>
      Effect.gen(function*() {
        const { bootstrapServers: brokers } = yield* EmbeddedKafka.EmbeddedKafka
        const error = yield* Effect.flip(opening("plain", { brokers }))
        assert(error instanceof DriverError)
        assert.include(["Connect: NotKafka", "Connect: NoAnswer"], told(error))
      }))
  })

  layer(EmbeddedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `${name} with TLS on a listener without`,
    (it) => {
      it.effect("it is told as a failure of TLS", () =>
        Effect.gen(function*() {
          const { bootstrapServers: brokers } = yield* EmbeddedKafka.EmbeddedKafka
          const error = yield* Effect.flip(opening("no-tls", { brokers, tls: true }))
          assert(error instanceof DriverError)
          assert.strictEqual(told(error), "Connect: TlsFailed")
        }))
    }
  )
}
