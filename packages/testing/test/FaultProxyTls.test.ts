import { assert, layer, type Vitest } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { X509Certificate } from "node:crypto"
import { connect as connectTls } from "node:tls"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as FaultProxy from "../src/FaultProxy.ts"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import * as SelfSigned from "../src/internal/selfSigned.ts"
import * as ProtocolClient from "../src/ProtocolClient.ts"
import { address } from "./FaultProxyRig.ts"

/** A client that speaks TLS to a proxy, and trusts its certificate. */
const wire = (proxy: FaultProxy.FaultProxy, clientId: string) =>
  ProtocolClient.connect(proxy.host, proxy.port, {
    clientId,
    requestTimeout: "500 millis",
    tls: { ca: [proxy.certificate ?? ""] }
  })

const target = Effect.map(EmbeddedKafka.EmbeddedKafka, ({ bootstrapServers, ca }) => ({
  ...address(bootstrapServers[0]!),
  ...(ca === null ? {} : { tls: { ca: [ca] } })
}))

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka>

const certificates = (it: It): void => {
  it.effect("certificates that are given are shown to clients", () =>
    Effect.gen(function*() {
      const given = SelfSigned.make(
        yield* Effect.clockWith(({ currentTimeMillis }) => currentTimeMillis)
      )
      const proxy = yield* FaultProxy.make({ tls: given, target: yield* target })
      assert.strictEqual(proxy.certificate, given.cert)
      const shown = yield* Effect.callback<string>((resume) => {
        const { host, port } = proxy
        const socket = connectTls({ host, port, ca: given.cert }, () =>
          resume(Effect.succeed(socket.getPeerX509Certificate()?.fingerprint256 ?? "none")))
        return Effect.sync(() =>
          socket.destroy()
        )
      })
      assert.strictEqual(shown, new X509Certificate(given.cert).fingerprint256)
    }))

  it.effect("certificates that cannot be used are told before anything is opened", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(FaultProxy.make({ tls: { cert: "no", key: "no" } }))
      assert.strictEqual(error.reason._tag, "InvalidCertificate")
    }).pipe(Effect.scoped))

  it.effect("a broker whose authority is not named is refused, and told as such", () =>
    Effect.gen(function*() {
      const { host, port } = yield* target
      const proxy = yield* FaultProxy.make()
      const other = SelfSigned.make(Date.parse("2026-01-01"))
      const untrusted = yield* Effect.flip(
        proxy.connectTo({ host, port, tls: { ca: [other.cert] } })
      )
      assert.strictEqual(untrusted.reason._tag, "NotKafka")
      assert.include(untrusted.message, "with TLS and a trusted certificate")
      const plain = yield* Effect.flip(proxy.connectTo({ host, port }))
      assert.strictEqual(plain.reason._tag, "NotKafka")
      assert.include(plain.message, "without TLS")
    }).pipe(Effect.scoped))

  it.effect("a client without TLS is reset, and told among the malformed", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make({ tls: true, target: yield* target })
      const plain = yield* ProtocolClient.connect(proxy.host, proxy.port)
      yield* Effect.flip(plain.request("ListGroups", 3, {}))
      const malformed = yield* Effect.repeat(proxy.connections.malformed, {
        until: ({ length }) => length === 1
      }).pipe(Effect.timeout("5 seconds"))
      assert.match(malformed[0]!, /^no TLS: /)
      yield* proxy.connections.awaitOpen(0).pipe(Effect.timeout("5 seconds"))
    }))
}

for (const listeners of ["plaintext", "tls"] as const) {
  layer(EmbeddedKafka.layer({ listeners }), { timeout: "3 minutes", excludeTestServices: true })(
    `a fault proxy with TLS before a ${listeners} listener`,
    (it) => {
      it.effect("lets everything through, and sees what it is", () =>
        Effect.gen(function*() {
          const proxy = yield* FaultProxy.make({ tls: true, target: yield* target })
          const client = yield* wire(proxy, "through")
          assert.isAbove((yield* client.request("Metadata", 9, { topics: [] })).brokers.length, 0)
          const entry = yield* proxy.log.awaitFrame({ api: "Metadata", clientId: "through" })
          assert.strictEqual(entry.answer?.delivered, true)
        }))

      it.effect("loses, delays, slices, truncates and resets as it does without", () =>
        Effect.gen(function*() {
          const proxy = yield* FaultProxy.make({ tls: true, target: yield* target })
          const ask = (clientId: string) =>
            Effect.scoped(
              Effect.flatMap(wire(proxy, clientId), (client) => client.request("ListGroups", 3, {}))
            )
          const under = (action: FaultProxyRule.Action) =>
            ask(action.type).pipe(
              Effect.match({ onSuccess: () => "answered", onFailure: ({ message }) => message }),
              proxy.withRule({ match: { api: "ListGroups", clientId: action.type }, action })
            )
          assert.include(yield* under({ type: "dropRequest" }), "no answer")
          assert.include(yield* under({ type: "dropResponse" }), "no answer")
          assert.match(yield* under({ type: "resetBefore" }), /ECONNRESET|closed/)
          assert.match(yield* under({ type: "resetAfter" }), /ECONNRESET|closed/)
          assert.match(yield* under({ type: "truncate", bytes: 6 }), /ECONNRESET|closed/)
          assert.strictEqual(yield* under({ type: "duplicateRequest" }), "answered")
          const { action } = FaultProxyRule.slice({}, 1)
          assert.strictEqual(yield* under(action), "answered")
          assert.strictEqual(yield* under(FaultProxyRule.delay({}, "50 millis").action), "answered")
          yield* proxy.connections.awaitOpen(0).pipe(Effect.timeout("10 seconds"))
        }).pipe(Effect.scoped))

      it.effect("cuts the network and heals it", () =>
        Effect.gen(function*() {
          const proxy = yield* FaultProxy.make({ tls: true, target: yield* target })
          const client = yield* wire(proxy, "cut")
          yield* client.request("ListGroups", 3, {})
          yield* proxy.blackhole("responses")
          const waiting = yield* Effect.forkChild(client.request("ListGroups", 3, {}), {
            startImmediately: true
          })
          yield* proxy.log.awaitFrame({ api: "ListGroups", nth: 2, phase: "response" })
          yield* proxy.heal
          yield* Fiber.join(waiting)
        }))

      if (listeners === "tls") certificates(it)
    }
  )
}
