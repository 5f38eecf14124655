/**
 * A broker, or a cluster, with two listeners: one direct, and one that leads through a fault proxy.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * The proxy in front of every node's second listener. A client that bootstraps at it stays on it.
 *
 * @category services
 * @since 0.1.0
 */
export class Proxy extends Context.Service<Proxy, FaultProxy.FaultProxy>()(
  "@kafka-once/proof/ProxiedKafka/Proxy"
) {}

// Tests write records of any time. Without this the broker deletes the old ones of them, and with
// them a whole young log, when it first looks: half a minute after its start.
const keepForEver = { "log.retention.ms": "-1" }

/**
 * Starts the nodes and their proxy. They delete no record for its age.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: EmbeddedKafka.Options = {},
  proxyOptions: Omit<FaultProxy.Options, "target" | "nodes"> = {}
) =>
  Layer.unwrap(Effect.gen(function*() {
    const nodes = options.nodes ?? 1
    const proxy = yield* FaultProxy.make({ ...proxyOptions, nodes })
    const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1))
    const connected = Effect.gen(function*() {
      const { proxied } = yield* EmbeddedKafka.EmbeddedKafka
      for (const [position, { upstream }] of proxied.entries()) {
        yield* proxy.connectTo({ host: "127.0.0.1", port: portOf(upstream) }, position)
      }
      return proxy
    })
    return Layer.effect(Proxy, connected).pipe(
      Layer.provideMerge(EmbeddedKafka.layer({
        ...options,
        properties: { ...keepForEver, ...options.properties },
        proxiedPorts: proxy.addresses.map(portOf)
      }))
    )
  }))
