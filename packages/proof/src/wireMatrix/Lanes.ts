/**
 * One broker behind many fault proxies, so that cases of the wire matrix run side by side and none
 * meets another's fault.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

/**
 * How many cases run side by side.
 *
 * @category models
 * @since 0.1.0
 */
export const width = 8

/**
 * The user that the SASL listeners know.
 *
 * @category models
 * @since 0.1.0
 */
export const credentials = { username: "matrix", password: "matrix-secret" } as const

/**
 * Proxies that are taken for one case at a time. `take` waits for a free one, and gives it back
 * when the scope closes.
 *
 * @category services
 * @since 0.1.0
 */
export class Lanes extends Context.Service<Lanes, {
  readonly take: (
    listener: "plaintext" | "sasl"
  ) => Effect.Effect<FaultProxy.FaultProxy, never, Scope.Scope>
}>()("@kafka-once/proof/wireMatrix/Lanes") {}

const loginModule = "org.apache.kafka.common.security.plain.PlainLoginModule"

/**
 * What the broker needs so that its last proxied listeners ask for a password, and the others, with
 * the reader's own, do not.
 */
const saslProperties = (from: number): Readonly<Record<string, string>> => {
  const listeners = Array.from({ length: width }, (_, index) => from + index)
  const { password, username } = credentials
  const plain = ["INTERNAL", "CONTROLLER", "DIRECT", ...listeners.map((n) => `PROXIED${n - from}`)]
  return Object.fromEntries([
    [
      "listener.security.protocol.map",
      [
        ...plain.map((name) => `${name}:PLAINTEXT`),
        ...listeners.map((n) => `PROXIED${n}:SASL_PLAINTEXT`)
      ].join(",")
    ],
    ...listeners.flatMap((n) => [
      [`listener.name.proxied${n}.sasl.enabled.mechanisms`, "PLAIN"],
      [
        `listener.name.proxied${n}.plain.sasl.jaas.config`,
        `${loginModule} required user_${username}="${password}";`
      ]
    ])
  ])
}

/**
 * Starts the broker and its proxies: half of them in front of listeners that ask for a password.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = Layer.unwrap(Effect.gen(function*() {
  const proxies = yield* Effect.forEach(Array.from({ length: 2 * width }), () => FaultProxy.make())
  const connected = Effect.gen(function*() {
    const { proxied } = yield* EmbeddedKafka.EmbeddedKafka
    for (const [index, proxy] of proxies.entries()) {
      const port = Number(proxied[index]?.upstream.split(":")[1])
      yield* proxy.connectTo({ host: "127.0.0.1", port })
    }
    const free = {
      plaintext: yield* Queue.unbounded<FaultProxy.FaultProxy>(),
      sasl: yield* Queue.unbounded<FaultProxy.FaultProxy>()
    }
    yield* Queue.offerAll(free.plaintext, proxies.slice(0, width))
    yield* Queue.offerAll(free.sasl, proxies.slice(width))
    return Lanes.of({
      take: (listener) =>
        Effect.acquireRelease(
          Queue.take(free[listener]),
          (proxy) => Queue.offer(free[listener], proxy)
        )
    })
  })
  return Layer.effect(Lanes, connected).pipe(
    Layer.provideMerge(EmbeddedKafka.layer({
      // Half a minute after its start the broker would delete records for their age.
      properties: { "log.retention.ms": "-1", ...saslProperties(width) },
      proxiedPorts: proxies.map(({ port }) => port)
    }))
  )
}))
