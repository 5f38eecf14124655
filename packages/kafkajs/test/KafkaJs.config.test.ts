/**
 * Every option of the driver through `Config`, each by what it does. A variable that was not read
 * would leave its default, and fail the row that names it.
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import * as Relay from "@kafka-once/proof/Relay"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createPrivateKey } from "node:crypto"
import { inspect } from "node:util"
import * as KafkaJs from "../src/KafkaJs.ts"

const optional = <A>(config: Config.Config<A>) =>
  config.pipe(Config.withDefault<A | undefined>(undefined))

const times = {
  connectionTimeout: optional(Config.Duration("KAFKA_CONNECTION_TIMEOUT")),
  authenticationTimeout: optional(Config.Duration("KAFKA_AUTHENTICATION_TIMEOUT")),
  reauthenticationThreshold: optional(Config.Duration("KAFKA_REAUTHENTICATION_THRESHOLD")),
  requestTimeout: optional(Config.Duration("KAFKA_REQUEST_TIMEOUT")),
  metadataMaxAge: optional(Config.Duration("KAFKA_METADATA_MAX_AGE"))
}

const withUser = KafkaJs.layerConfig({
  brokers: Config.Array(Schema.String, "KAFKA_BROKERS"),
  clientId: optional(Config.String("KAFKA_CLIENT_ID")),
  sasl: {
    mechanism: Config.Literals(["plain", "scram-sha-256", "scram-sha-512"], "KAFKA_MECHANISM"),
    username: Config.String("KAFKA_USERNAME"),
    password: Config.Redacted("KAFKA_PASSWORD")
  },
  insecure: optional(Config.Boolean("KAFKA_INSECURE")),
  ...times
})

const withCertificate = KafkaJs.layerConfig({
  brokers: Config.Array(Schema.String, "KAFKA_BROKERS"),
  tls: Config.unwrap({
    ca: optional(Config.String("KAFKA_CA")),
    cert: optional(Config.String("KAFKA_CERT")),
    key: optional(Config.Redacted("KAFKA_KEY")),
    passphrase: optional(Config.Redacted("KAFKA_PASSPHRASE")),
    serverName: optional(Config.String("KAFKA_SERVER_NAME"))
  }),
  ...times
})

type Environment = Readonly<Record<string, string | undefined>>
type Driver = typeof withUser

/** Runs with a driver that has read this environment, and nothing else. */
const reading = (driver: Driver, environment: Environment) => {
  const env = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]]
    )
  )
  return Effect.provide(
    Layer.fresh(driver).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
  )
}

/** What becomes of a session: "ok", or how it fails. */
const told = (driver: Driver, environment: Environment, transactionalId: string) =>
  Effect.scoped(DriverSteps.open(transactionalId, { requestTimeoutMillis: 3_000 })).pipe(
    reading(driver, environment),
    Effect.as("ok"),
    Effect.catch((error) =>
      Effect.succeed(
        error._tag === "DriverError"
          ? `${DriverSteps.told(error)}: ${error.detail}`
          : `${error._tag}: ${error.message}`
      )
    )
  )

const canary = "canary-9c2e"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/** What the driver reads to reach the broker through the proxy. */
const right = Effect.gen(function*() {
  const { users } = yield* EmbeddedKafka.EmbeddedKafka
  const { host, port } = yield* ProxiedKafka.Proxy
  return {
    KAFKA_BROKERS: `127.0.0.1:9,${host}:${port}`,
    KAFKA_MECHANISM: "scram-sha-512",
    KAFKA_USERNAME: "app",
    KAFKA_PASSWORD: users["app"] ?? ""
  }
})

/** The requests that an effect sends, by name. */
const requestsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { log } = yield* ProxiedKafka.Proxy
    const before = yield* log.position
    yield* effect
    return (yield* log.entries).filter(({ position }) => position >= before)
  })

const countOf = (api: string, entries: ReadonlyArray<{ readonly api: string }>) =>
  entries.filter((entry) => entry.api === api).length

const connecting = (it: It): void => {
  it.effect("brokers and client id: the second address is used, and each request is named", () =>
    Effect.gen(function*() {
      const environment = { ...(yield* right), KAFKA_CLIENT_ID: "from-config" }
      const requests = yield* requestsOf(
        Effect.map(told(withUser, environment, "names"), (is) => assert.strictEqual(is, "ok"))
      )
      assert.isAbove(requests.length, 3)
      assert.deepStrictEqual([...new Set(requests.map(({ clientId }) => clientId))], [
        "from-config"
      ])
    }))

  it.effect("mechanism, user, password and insecure: each wrong one is refused as such", () =>
    Effect.gen(function*() {
      const environment = yield* right
      const rows: ReadonlyArray<readonly [Environment, string]> = [
        [{}, "ok"],
        [{ KAFKA_MECHANISM: "scram-sha-256" }, "ok"],
        [{ KAFKA_MECHANISM: "plain" }, 'KafkaJsError: The option "sasl" is PLAIN without TLS'],
        [{ KAFKA_MECHANISM: "plain", KAFKA_INSECURE: "true" }, "ok"],
        [{ KAFKA_MECHANISM: "plain", KAFKA_INSECURE: "false" }, "KafkaJsError"],
        [{ KAFKA_USERNAME: "nobody" }, 'Connect: 58: SCRAM-SHA-512 as user "nobody"'],
        [{ KAFKA_PASSWORD: canary }, 'Connect: 58: SCRAM-SHA-512 as user "app"']
      ]
      for (const [changed, expected] of rows) {
        const is = yield* told(withUser, { ...environment, ...changed }, "credentials")
        assert.include(is, expected)
        assert.notInclude(is, canary)
      }
    }))
}

const timing = (it: It): void => {
  it.effect.each(
    [
      ["KAFKA_AUTHENTICATION_TIMEOUT", "SaslAuthenticate", "Connect"],
      ["KAFKA_REQUEST_TIMEOUT", "Metadata", "Metadata"]
    ] as const
  )(
    "%s: a lost answer to %s is waited for no longer",
    ([name, api, request]) =>
      Effect.gen(function*() {
        const proxy = yield* ProxiedKafka.Proxy
        const environment = { ...(yield* right), [name]: "200 millis" }
        const [elapsed, error] = yield* Effect.flatMap(KafkaDriver, ({ probe }) => probe).pipe(
          Effect.flip,
          Effect.timed,
          proxy.withRule(FaultProxyRule.dropResponse({ api, nth: 1 })),
          reading(withUser, environment)
        )
        assert.strictEqual(DriverSteps.told(error), `${request}: NoAnswer`)
        assert.include(error.detail, "timed out")
        // Unread, each would take three seconds.
        assert.isBelow(Duration.toMillis(elapsed), 2_500)
      })
  )

  it.effect("KAFKA_REAUTHENTICATION_THRESHOLD: above the lifetime, each request renews", () =>
    Effect.gen(function*() {
      const environment = yield* right
      const asked = (threshold: string | undefined) =>
        Effect.map(
          requestsOf(told(
            withUser,
            { ...environment, KAFKA_REAUTHENTICATION_THRESHOLD: threshold },
            "renewing"
          )),
          (requests) => countOf("SaslHandshake", requests)
        )
      const seldom = yield* asked(undefined)
      assert.isAbove(yield* asked("10 minutes"), seldom)
    }))

  it.effect("KAFKA_METADATA_MAX_AGE: leaders are looked up again when it is over", () =>
    Effect.gen(function*() {
      const { createTopic } = yield* EmbeddedKafka.EmbeddedKafka
      const environment = yield* right
      yield* createTopic("ageing")
      const sending = Effect.scoped(Effect.gen(function*() {
        const { session } = yield* DriverSteps.open("ageing")
        yield* session.begin
        for (let index = 0; index < 5; index++) {
          yield* DriverSteps.sendOne(session, DriverSteps.batch("ageing", 0, "a"))
        }
        yield* session.end("commit")
      }))
      const lookedUp = (age: string | undefined) =>
        Effect.map(
          requestsOf(sending.pipe(
            reading(withUser, { ...environment, KAFKA_METADATA_MAX_AGE: age })
          )),
          (requests) => countOf("Metadata", requests)
        )
      const seldom = yield* lookedUp(undefined)
      assert.isAtLeast(yield* lookedUp("1 milli"), seldom + 3)
    }))
}

const wrong = (it: It): void => {
  it.effect("what is missing or cannot be read is one error, which names the variable", () =>
    Effect.gen(function*() {
      const environment = yield* right
      const rows: ReadonlyArray<readonly [name: string, value: string | undefined]> = [
        ["KAFKA_BROKERS", undefined],
        ["KAFKA_BROKERS", ""],
        ["KAFKA_MECHANISM", undefined],
        ["KAFKA_USERNAME", undefined],
        ["KAFKA_PASSWORD", undefined],
        ["KAFKA_MECHANISM", "gssapi"],
        ["KAFKA_INSECURE", "perhaps"],
        ["KAFKA_CONNECTION_TIMEOUT", "soon"],
        ["KAFKA_AUTHENTICATION_TIMEOUT", "soon"],
        ["KAFKA_REAUTHENTICATION_THRESHOLD", "soon"],
        ["KAFKA_REQUEST_TIMEOUT", "soon"],
        ["KAFKA_METADATA_MAX_AGE", "soon"]
      ]
      for (const [name, value] of rows) {
        const changed = { ...environment, KAFKA_PASSWORD: canary, [name]: value }
        const error = yield* Effect.flip(KafkaDriver.pipe(reading(withUser, changed)))
        assert.strictEqual(error._tag, "ConfigError")
        assert.include(error.message, name)
        assert.notInclude(inspect(error, { depth: 20 }), canary)
      }
    }))

  it.effect("what is read and cannot work is one error, which names the option", () =>
    Effect.gen(function*() {
      const environment = yield* right
      const rows = [
        ["KAFKA_BROKERS", "localhost", "brokers"],
        ["KAFKA_REQUEST_TIMEOUT", "0 millis", "requestTimeout"]
      ] as const
      for (const [name, value, option] of rows) {
        const changed = { ...environment, [name]: value }
        const error = yield* Effect.flip(KafkaDriver.pipe(reading(withUser, changed)))
        assert(error._tag === "KafkaJsError" && error.reason._tag === "InvalidOption")
        assert.strictEqual(error.reason.option, option)
      }
    }))
}

layer(
  ProxiedKafka.layer({
    listeners: "sasl",
    properties: { "connections.max.reauth.ms": "300000" }
  }),
  { timeout: "3 minutes", excludeTestServices: true }
)("the driver from the environment", (it) => {
  connecting(it)
  timing(it)
  wrong(it)
})

layer(EmbeddedKafka.layer({ listeners: "mutual-tls" }), {
  timeout: "3 minutes",
  excludeTestServices: true
})("the driver from the environment, with TLS", (it) => {
  it.effect("ca, cert, key, passphrase and server name: each wrong one is refused as such", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const { cert = "", key = "" } = kafka.clientCertificate ?? {}
      const passphrase = canary
      const encrypted = createPrivateKey(key).export({
        type: "pkcs8",
        format: "pem",
        cipher: "aes-256-cbc",
        passphrase
      })
      const environment = {
        KAFKA_BROKERS: kafka.bootstrapServers.join(","),
        KAFKA_CA: kafka.ca ?? "",
        KAFKA_CERT: cert,
        KAFKA_KEY: key
      }
      const withPassphrase = { KAFKA_KEY: String(encrypted), KAFKA_PASSPHRASE: passphrase }
      const rows: ReadonlyArray<readonly [Environment, string]> = [
        [{}, "ok"],
        [withPassphrase, "ok"],
        [{ ...withPassphrase, KAFKA_PASSPHRASE: "wrong" }, 'The option "tls.key" cannot be read'],
        [{ KAFKA_CA: undefined }, "Connect: TlsFailed"],
        [{ KAFKA_CERT: undefined, KAFKA_KEY: undefined }, "Connect: TlsFailed"],
        [{ KAFKA_CERT: undefined }, 'The option "tls.cert" is missing'],
        [{ KAFKA_KEY: undefined }, 'The option "tls.key" is missing'],
        [{ KAFKA_SERVER_NAME: "localhost" }, "ok"],
        [{ KAFKA_SERVER_NAME: "elsewhere.example" }, "elsewhere.example. is not in the cert's"]
      ]
      for (const [changed, expected] of rows) {
        const is = yield* told(withCertificate, { ...environment, ...changed }, "certificates")
        assert.include(is, expected)
        assert.notInclude(is, canary)
      }
    }))

  it.effect("KAFKA_CONNECTION_TIMEOUT: a server that does not say a word of TLS is given up", () =>
    Effect.gen(function*() {
      const { bootstrapServers } = yield* EmbeddedKafka.EmbeddedKafka
      const mute = yield* Relay.listen({
        to: bootstrapServers[0] ?? "",
        answered: () => Buffer.alloc(0)
      })
      const environment = {
        KAFKA_BROKERS: `127.0.0.1:${mute.port}`,
        KAFKA_CONNECTION_TIMEOUT: "2 seconds"
      }
      const [elapsed, is] = yield* Effect.timed(told(withCertificate, environment, "silent"))
      assert.include(is, "Connection timeout")
      // Unread, it would take one second.
      assert.isAtLeast(Duration.toMillis(elapsed), 1_990)
    }))
})
