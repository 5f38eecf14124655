/**
 * The control of a fault proxy over HTTP, for a process that is not the proxy's own: a service
 * under test in another language, a shell script, a second Node process.
 *
 * **Example** (A shell script loses the first commit response)
 *
 * ```ts
 * import * as FaultProxy from "@kafka-once/testing/FaultProxy"
 * import * as FaultProxyServer from "@kafka-once/testing/FaultProxyServer"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 *
 * const controlled = Effect.scoped(Effect.gen(function*() {
 *   const proxy = yield* FaultProxy.make({ target: { host: "127.0.0.1", port: 9094 } })
 *   const server = yield* FaultProxyServer.make(proxy, { port: 8474 })
 *   yield* Console.log(`curl ${server.url}/rules -d '{ "match": { "api": "EndTxn", "nth": 1 }, ` +
 *     `"action": { "type": "dropResponse" } }'`)
 *   return yield* Effect.never
 * }))
 * ```
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import { MaxBodySize } from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as Scope from "effect/Scope"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { FaultProxy } from "./FaultProxy.ts"
import { FaultProxyError, ListenFailed } from "./FaultProxyError.ts"
import * as Control from "./internal/faultProxyControl.ts"
import * as HeldRules from "./internal/faultProxyHeldRules.ts"

/**
 * A control that listens.
 *
 * **Details**
 *
 * *Shape*: `url` is `http://127.0.0.1:PORT`. Requests and answers are JSON; the log is JSON lines.
 *
 * | request | does | answers |
 * | --- | --- | --- |
 * | `POST /rules`, a rule | injects it | 201 `{ "id", "name" }` |
 * | `GET /rules` | | `[{ "id", "name", "hits", "rule" }]`, those injected here |
 * | `GET /rules/1/fired?within=5000` | waits for its first act | the entry it acted on, or 409 |
 * | `DELETE /rules/1` | removes it | `{ "id", "name", "hits" }`; 409 if it never fired |
 * | `POST /gates/NAME/release` | delivers what is held | `{ "released" }`; 409 if nothing is |
 * | `POST /blackhole`, `{ "direction" }` | `both`, `requests` or `responses` | 204 |
 * | `POST /refuse`, `POST /heal` | as on the proxy | 204 |
 * | `POST /reset` | resets all connections | `{ "connections" }` |
 * | `GET /connections` | | `{ "open", "opened", "malformed" }` |
 * | `GET /log?after=120` | | the entries from that position on, each a line |
 *
 * *Errors*: `{ "error": { "_tag", "message", ... } }` with the status 400 (`InvalidRule`,
 * `InvalidRequest`), 404 (`NotFound`), 409 (`RuleNeverFired`, `NothingHeld`) or 413.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultProxyServer {
  readonly host: "127.0.0.1"
  readonly port: number
  readonly url: string
}

/** A rule is a few hundred bytes. */
const bodySizeMax = ByteSize.mebibytes(1)

/**
 * Serves the control of a proxy on a port of 127.0.0.1, a free one where none is named, until the
 * scope closes.
 *
 * **Details**
 *
 * The rules that were injected over HTTP and not removed are removed with the scope; if it ends
 * well, one of them that never fired fails it with `RuleNeverFired`, as `FaultProxy.inject` does.
 *
 * *Errors*: `ListenFailed`: the port is taken.
 *
 * **Gotchas**
 *
 * It asks nobody for a password. It is reachable from this machine alone, and by everybody there.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  proxy: FaultProxy,
  options: { readonly port?: number | undefined } = {}
): Effect.fn.Return<FaultProxyServer, FaultProxyError, Scope.Scope> {
  const host = "127.0.0.1"
  const rules = yield* HeldRules.make(proxy)
  const router = yield* HttpRouter.make
  yield* router.addAll(Control.routes(proxy, rules))
  const server = createServer()
  const http = yield* NodeHttpServer.make(() => server, {
    host,
    port: options.port ?? 0,
    // A caller that waits for a rule must not hold up the end of the test.
    disablePreemptiveShutdown: true
  }).pipe(
    Effect.mapError(({ cause }) =>
      new FaultProxyError({
        operation: "serve",
        reason: new ListenFailed({ host, port: options.port ?? 0, problem: String(cause) })
      })
    )
  )
  yield* http.serve(Effect.provideService(router.asHttpEffect(), MaxBodySize, bodySizeMax))
  const { port } = server.address() as AddressInfo
  return { host, port, url: `http://${host}:${port}` }
})
