import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connect as connectTls } from "node:tls"
import * as CommittedRecords from "../src/CommittedRecords.ts"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as ProtocolClient from "../src/internal/protocol/protocolClient.ts"

const login = Effect.fnUntraced(function*(user: string, password: string) {
  const { bootstrapServers } = yield* EmbeddedKafka.EmbeddedKafka
  const [host = "", port] = bootstrapServers[0]?.split(":") ?? []
  const client = yield* ProtocolClient.connect(host, Number(port))
  const handshake = yield* client.request("SaslHandshake", 1, { mechanism: "PLAIN" })
  const answer = yield* client.request("SaslAuthenticate", 2, {
    authBytes: Buffer.from(`\0${user}\0${password}`)
  })
  return { mechanisms: handshake.mechanisms, errorCode: answer.errorCode }
})

const readAs = (mechanism: string, user: string, password: string, topic: string) =>
  Effect.flatMap(EmbeddedKafka.EmbeddedKafka, (kafka) =>
    CommittedRecords.read({
      ...kafka,
      topic,
      limit: "20 seconds",
      properties: {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": [
          mechanism === "PLAIN"
            ? "org.apache.kafka.common.security.plain.PlainLoginModule"
            : "org.apache.kafka.common.security.scram.ScramLoginModule",
          `required username="${user}" password="${password}";`
        ].join(" ")
      }
    }))

layer(
  EmbeddedKafka.layer({
    listeners: "sasl",
    authorizer: true,
    users: { quoted: `with "quotes" and \\` }
  }),
  { timeout: "3 minutes" }
)("a broker with users and access rules", (it) => {
  it.effect("a wrong password is refused, a right one is not", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* login("app", "wrong")).errorCode, 58)
      const { errorCode, mechanisms } = yield* login("app", "app-secret")
      assert.strictEqual(errorCode, 0)
      assert.sameMembers([...mechanisms ?? []], ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
      assert.strictEqual((yield* login("quoted", `with "quotes" and \\`)).errorCode, 0)
    }))

  it.effect("nobody but the super user may, until a rule allows it, and after it is removed", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("guarded")
      const rule = {
        principal: "User:app",
        operation: "Read",
        resourceType: "topic",
        resource: "guard",
        pattern: "prefixed"
      } as const
      const denied = yield* Effect.flip(readAs("SCRAM-SHA-256", "app", "app-secret", "guarded"))
      assert.include(denied.message, "TopicAuthorizationException")
      yield* kafka.addAccessRule(rule)
      assert.deepStrictEqual(yield* readAs("SCRAM-SHA-256", "app", "app-secret", "guarded"), [])
      yield* kafka.removeAccessRule(rule)
      const again = yield* Effect.flip(readAs("PLAIN", "app", "app-secret", "guarded"))
      assert.include(again.message, "TopicAuthorizationException")
      assert.deepStrictEqual(yield* readAs("SCRAM-SHA-512", "admin", "admin-secret", "guarded"), [])
    }))

  it.effect("a rule that Kafka does not know is refused by name", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const refused = yield* Effect.flip(kafka.addAccessRule({
        principal: "User:app",
        operation: "Paint",
        resourceType: "transactionalId",
        resource: "orders-0"
      }))
      assert.include(refused.message, "addAcl Paint on transactionalId orders-0")
    }))
})

layer(EmbeddedKafka.layer({ listeners: "tls" }), { timeout: "3 minutes" })(
  "a broker with TLS",
  (it) => {
    const handshake = (options: { ca?: string; host: string }) =>
      Effect.flatMap(EmbeddedKafka.EmbeddedKafka, (kafka) =>
        Effect.callback<string>((resume) => {
          const port = Number(kafka.bootstrapServers[0]?.split(":")[1])
          const socket = connectTls({ ...options, port }, () => {
            resume(Effect.succeed("trusted"))
            socket.destroy()
          })
          socket.on(
            "error",
            (error) => resume(Effect.succeed(String("code" in error && error.code)))
          )
        }))

    it.effect("its certificate is good for 127.0.0.1 and localhost, for who trusts its CA", () =>
      Effect.gen(function*() {
        const { ca } = yield* EmbeddedKafka.EmbeddedKafka
        assert.isNotNull(ca)
        assert.strictEqual(yield* handshake({ ca: ca ?? "", host: "127.0.0.1" }), "trusted")
        assert.strictEqual(yield* handshake({ ca: ca ?? "", host: "localhost" }), "trusted")
        assert.notStrictEqual(yield* handshake({ host: "127.0.0.1" }), "trusted")
      }))

    it.effect("Kafka's own client reads over it", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* kafka.createTopic("sealed")
        const records = yield* CommittedRecords.read({
          ...kafka,
          topic: "sealed",
          properties: {
            "security.protocol": "SSL",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": kafka.ca ?? ""
          }
        })
        assert.deepStrictEqual(records, [])
      }))
  }
)

/** What Kafka's own client reads of a new topic over TLS, or the text of its failure. */
const readOverTls = (topic: string, properties: Readonly<Record<string, string>>) =>
  Effect.flatMap(EmbeddedKafka.EmbeddedKafka, (kafka) =>
    CommittedRecords.read({
      ...kafka,
      topic,
      limit: "20 seconds",
      properties: {
        "security.protocol": "SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": kafka.ca ?? "",
        ...properties
      }
    })).pipe(
      Effect.map((records) => `${records.length} records`),
      Effect.catch(({ message }) => Effect.succeed(message))
    )

layer(EmbeddedKafka.layer({ listeners: "mutual-tls", authorizer: true }), {
  timeout: "3 minutes"
})("a broker with TLS that asks for a certificate", (it) => {
  it.effect("who shows the one that it signed is User:CN=client, who shows none is refused", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const { clientCertificate } = kafka
      assert(clientCertificate !== null)
      yield* kafka.createTopic("mutual")
      const properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": clientCertificate.cert,
        "ssl.keystore.key": clientCertificate.key
      }
      assert.include(yield* readOverTls("mutual", {}), "SslAuthenticationException")
      assert.include(yield* readOverTls("mutual", properties), "TopicAuthorizationException")
      yield* kafka.addAccessRule({
        principal: "User:CN=client",
        operation: "Read",
        resourceType: "topic",
        resource: "mutual"
      })
      assert.strictEqual(yield* readOverTls("mutual", properties), "0 records")
    }))
})

layer(EmbeddedKafka.layer({ listeners: "sasl-tls" }), { timeout: "3 minutes" })(
  "a broker with users over TLS",
  (it) => {
    it.effect("a user is taken with the right password alone", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        assert.isNull(kafka.clientCertificate)
        yield* kafka.createTopic("users")
        const as = (password: string) => ({
          "security.protocol": "SASL_SSL",
          "sasl.mechanism": "SCRAM-SHA-256",
          "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required " +
            `username="app" password="${password}";`
        })
        assert.strictEqual(yield* readOverTls("users", as("app-secret")), "0 records")
        assert.include(yield* readOverTls("users", as("wrong")), "SaslAuthenticationException")
      }))
  }
)
