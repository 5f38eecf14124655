/**
 * Users over TLS, and certificates of clients, through the whole library over a driver, on real
 * listeners.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type * as ConnectionOptions from "@kafka-once/core/ConnectionOptions"
import * as KafkaError from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { generateKeyPairSync } from "node:crypto"
import { inspect } from "node:util"
import * as Relay from "./Relay.ts"
import type * as SecureDriver from "./SecureDriver.ts"

const canary = "canary-3f1b"

/** Starts a producer and commits one record with it; or fails to, as it should. */
const stepsOf = (driver: SecureDriver.SecureDriver) => {
  const committing = (topic: string, value: string, options: ConnectionOptions.ConnectionOptions) =>
    Effect.scoped(Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make({ transactionalId: `${topic}-${value}` })
      yield* Transaction.send([{ topic, value }]).pipe(producer.withTransaction())
    })).pipe(Effect.provide(driver(options)))

  /** How the start of a producer fails: typed, within two seconds, and without a secret. */
  const refused = Effect.fnUntraced(function*(options: ConnectionOptions.ConnectionOptions) {
    const error = yield* committing("none", "none", options).pipe(
      Effect.flip,
      Effect.timeout("2 seconds")
    )
    assert(KafkaError.isKafkaError(error))
    assert.strictEqual(error.operation, "initialize")
    assert.strictEqual(error.recovery, "reconfigure")
    for (const text of [error.message, inspect(error, { depth: 20 }), JSON.stringify(error)]) {
      assert.notInclude(text, canary)
      assert.notInclude(text, "PRIVATE KEY")
    }
    return error
  })

  return { committing, refused }
}

type Steps = ReturnType<typeof stepsOf>

const mechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka>

/** The broker, and what a client needs to trust it and to be known by it. */
const known = Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const { bootstrapServers: brokers, clientCertificate, users } = kafka
  const ca = kafka.ca ?? ""
  const sasl = (
    mechanism: ConnectionOptions.SaslPassword["mechanism"],
    password = users["app"] ?? ""
  ) => ({
    mechanism,
    username: "app",
    password: Redacted.make(password)
  })
  const own = clientCertificate === null ? {} : {
    cert: clientCertificate.cert,
    key: Redacted.make(clientCertificate.key)
  }
  return { kafka, brokers, ca, sasl, own, address: brokers[0] ?? "" }
})

const users = (it: It, { committing, refused }: Steps): void => {
  it.effect("every mechanism commits over TLS", () =>
    Effect.gen(function*() {
      const { brokers, ca, kafka, sasl } = yield* known
      yield* kafka.createTopic("over-tls")
      for (const mechanism of mechanisms) {
        yield* committing("over-tls", mechanism, { brokers, tls: { ca }, sasl: sasl(mechanism) })
      }
      const records = yield* CommittedRecords.read({
        ...kafka,
        topic: "over-tls",
        properties: {
          "security.protocol": "SASL_SSL",
          "ssl.truststore.type": "PEM",
          "ssl.truststore.certificates": ca,
          "sasl.mechanism": "PLAIN",
          "sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required " +
            `username="app" password="${kafka.users["app"]}";`
        }
      })
      const decoder = new TextDecoder()
      assert.deepStrictEqual(
        records.map(({ value }) => value === null ? null : decoder.decode(value)),
        [...mechanisms]
      )
    }))

  it.effect.each(mechanisms)(
    "the wrong password is refused within 2 s, over one connection, and told nowhere, with %s",
    (mechanism) =>
      Effect.gen(function*() {
        const { address, ca, sasl } = yield* known
        const relay = yield* Relay.listen({ to: address })
        const brokers = [1, 2, 3, 4].map(() => `127.0.0.1:${relay.port}`)
        const error = yield* refused({ brokers, tls: { ca }, sasl: sasl(mechanism, canary) })
        assert.include(error.message, 'user "app"')
        assert.include(error.message, "Check user, password and SASL mechanism")
        assert.strictEqual(error.reason._tag, "AuthenticationFailed")
        assert.strictEqual(relay.opened(), 1)
      })
  )

  it.effect("an authority that is not trusted, and a certificate of another host, fail", () =>
    Effect.gen(function*() {
      const { brokers, ca, sasl } = yield* known
      const options = { brokers, sasl: sasl("plain", canary) }
      const rows = [
        [true, "self-signed certificate in certificate chain"],
        [{ ca, serverName: "elsewhere.example" }, "elsewhere.example. is not in the cert's"]
      ] as const
      for (const [tls, text] of rows) {
        const { message, reason } = yield* refused({ ...options, tls })
        assert.strictEqual(reason._tag, "TlsFailed")
        assert.include(message, text)
        assert.include(message, brokers[0] ?? "")
        assert.include(message, "Check the certificate, its authority and the host name")
      }
    }))

  it.effect("a listener with TLS is told to a client without", () =>
    Effect.gen(function*() {
      const { brokers, sasl } = yield* known
      for (const options of [{ insecure: true, sasl: sasl("plain", canary) }, {}]) {
        const { message, reason } = yield* refused({ brokers, ...options })
        assert.strictEqual(reason._tag, "NotKafka")
        assert.include(message, brokers[0] ?? "")
        assert.include(message, "whether the listener expects TLS")
      }
    }))
}

const certificates = (it: It, { committing, refused }: Steps): void => {
  it.effect("the principal of the certificate commits where it may, and nowhere else", () =>
    Effect.gen(function*() {
      const { brokers, ca, kafka, own } = yield* known
      const options = { brokers, tls: { ca, ...own } }
      yield* kafka.createTopic("mutual")
      const error = yield* Effect.flip(committing("mutual", "a", options))
      assert(KafkaError.isKafkaError(error))
      assert.strictEqual(error.reason._tag, "NotAuthorized")
      const rule = { principal: "User:CN=client", operation: "Write" }
      yield* kafka.addAccessRule({ ...rule, resourceType: "topic", resource: "mutual" })
      yield* kafka.addAccessRule({ ...rule, resourceType: "transactionalId", resource: "mutual-a" })
      yield* committing("mutual", "a", options)
    }))

  it.effect("a client without a certificate, or with one of a stranger's, is refused", () =>
    Effect.gen(function*() {
      const { brokers, ca } = yield* known
      const stranger = yield* EmbeddedKafka.make({ listeners: "mutual-tls" })
      const { cert = "", key = "" } = stranger.clientCertificate ?? {}
      const rows: ReadonlyArray<ConnectionOptions.TlsOptions> = [
        { ca },
        { ca, cert, key: Redacted.make(key) }
      ]
      for (const tls of rows) {
        const { message, reason } = yield* refused({ brokers, tls })
        assert.strictEqual(reason._tag, "TlsFailed")
        assert.include(message, brokers[0] ?? "")
        assert.include(message, "the broker refuses this client's certificate, or asks for one")
      }
    }))

  it.effect("a certificate or key that cannot be used fails the layer by its name", () =>
    Effect.gen(function*() {
      const { brokers, ca, own } = yield* known
      const stranger = generateKeyPairSync("ec", {
        namedCurve: "P-256",
        publicKeyEncoding: { type: "spki", format: "pem" },
        privateKeyEncoding: { type: "pkcs8", format: "pem" }
      })
      const encrypted = generateKeyPairSync("ec", {
        namedCurve: "P-256",
        publicKeyEncoding: { type: "spki", format: "pem" },
        privateKeyEncoding: {
          type: "pkcs8",
          format: "pem",
          cipher: "aes-256-cbc",
          passphrase: canary
        }
      })
      const rows: ReadonlyArray<readonly [ConnectionOptions.TlsOptions, string, string]> = [
        [{ ca: "/etc/ca.pem" }, "tls.ca", "not the path of a file"],
        [{ ca: [ca, ""] }, "tls.ca", "a certificate in PEM form"],
        [{ ca, ...own, cert: canary }, "tls.cert", "a certificate in PEM form"],
        [{ ca, ...own, key: Redacted.make(canary) }, "tls.key", "a private key in PEM form"],
        [{ ca, ...own, key: undefined }, "tls.key", "is missing"],
        [{ ca, ...own, cert: undefined }, "tls.cert", "is missing"],
        [{ ca, ...own, key: Redacted.make(stranger.privateKey) }, "tls.key", "is not the private"],
        [
          { ca, ...own, key: Redacted.make(encrypted.privateKey) },
          "tls.key",
          "with its `passphrase` if it is encrypted"
        ]
      ]
      for (const [tls, option, text] of rows) {
        const error = yield* Effect.flip(committing("none", "none", { brokers, tls }))
        assert(!KafkaError.isKafkaError(error))
        assert.deepInclude(error.reason, { _tag: "InvalidOption", option })
        assert.include(error.message, text)
        assert.notInclude(inspect(error, { depth: 20 }), canary)
        assert.notInclude(inspect(error, { depth: 20 }), "PRIVATE KEY")
      }
    }))
}

/**
 * Runs the suite over a driver, on brokers of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: SecureDriver.SecureDriver): void => {
  const options = { timeout: "3 minutes", excludeTestServices: true } as const
  const steps = stepsOf(driver)
  layer(EmbeddedKafka.layer({ listeners: "sasl-tls" }), options)(
    `${name} with users over TLS`,
    (it) => users(it, steps)
  )
  layer(EmbeddedKafka.layer({ listeners: "mutual-tls", authorizer: true }), options)(
    `${name} with a certificate of its own`,
    (it) => certificates(it, steps)
  )
}
