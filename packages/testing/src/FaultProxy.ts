/**
 * A TCP proxy in front of Kafka brokers that knows the protocol: it loses the response of the
 * second commit, holds a request until its client has gone, or answers with an error code, when a
 * test says so.
 *
 * **Example** (A service whose first commit response is lost)
 *
 * ```ts
 * import * as FaultProxy from "@kafka-once/testing/FaultProxy"
 * import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
 * import * as Effect from "effect/Effect"
 *
 * declare const service: (bootstrap: string) => Effect.Effect<void>
 *
 * const test = Effect.scoped(Effect.gen(function*() {
 *   const proxy = yield* FaultProxy.make({ target: { host: "127.0.0.1", port: 9094 } })
 *   const rule = FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, nth: 1 })
 *   yield* proxy.withRule(rule)(service(`${proxy.host}:${proxy.port}`))
 * }))
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { createSecureContext } from "node:tls"
import {
  FaultProxyError,
  InvalidCertificate,
  InvalidRule,
  ListenFailed,
  NothingHeld,
  RuleNeverFired
} from "./FaultProxyError.ts"
import * as FaultProxyRule from "./FaultProxyRule.ts"
import type * as FaultProxyWireLog from "./FaultProxyWireLog.ts"
import * as ErrorResponse from "./internal/faultProxyErrorResponse.ts"
import * as Gates from "./internal/faultProxyGates.ts"
import * as Log from "./internal/faultProxyLog.ts"
import * as Network from "./internal/faultProxyNetwork.ts"
import * as RuleBook from "./internal/faultProxyRuleBook.ts"
import type { Shared } from "./internal/faultProxyState.ts"
import * as Target from "./internal/faultProxyTarget.ts"
import * as SelfSigned from "./internal/selfSigned.ts"

/**
 * How to make a proxy.
 *
 * **Details**
 *
 * *Shape*
 * - `target`: the broker's listener, if it is already up; else say it later with `connectTo`.
 * - `host`, `port`: where the proxy listens: `127.0.0.1`, and a free port.
 * - `nodes`: how many brokers it stands in front of, 1 by default: it opens a port for each, and
 *   its rules, their counts and the wire log are over all of them. `target` and `port` are the
 *   first's.
 * - `mode`: `surgical` (the default) loses or delays exactly one frame; in `realistic` everything
 *   after it, in that direction on that connection, is lost or waits too, as TCP would have it.
 * - `tls`: clients speak TLS, and are shown this certificate; both are PEM. `true` makes one for
 *   127.0.0.1 and localhost. The rules see what is inside. With `tls` on the target the proxy
 *   speaks TLS to the broker, and trusts the authorities that are named there.
 * - `rules`, `seed`: faults for as long as the proxy lives, for example those of a schedule.
 * - `logFile`: gets the wire log as JSON lines.
 *
 * *Units and bounds*: `entriesMax` entries of the wire log are kept, 100,000 by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly target?: Target.Target
  readonly host?: string
  readonly port?: number
  readonly nodes?: number
  readonly tls?: true | { readonly cert: string; readonly key: string } | undefined
  readonly mode?: "surgical" | "realistic"
  readonly rules?: ReadonlyArray<FaultProxyRule.FaultProxyRule>
  readonly seed?: number
  readonly entriesMax?: number
  readonly logFile?: string
}

/**
 * A rule that is in force.
 *
 * @category models
 * @since 0.1.0
 */
export interface InjectedRule {
  readonly name: string
  /** Completes when the rule has acted for the first time, with what it acted on. */
  readonly fired: Effect.Effect<FaultProxyWireLog.Entry>
  /** How often it has acted. */
  readonly hits: Effect.Effect<number>
  /** How many frames fitted it, apart from its `nth` and `probability`. */
  readonly matched: Effect.Effect<number>
}

/**
 * What is connected to a proxy.
 *
 * **Details**
 *
 * *Shape*
 * - `open`: open sockets of clients by client id; `""` for those that have sent nothing yet.
 * - `opened`: connections opened since the proxy was made.
 * - `malformed`: what connections were reset for because their bytes were no Kafka frames.
 * - `awaitOpen`: completes when a client id, or all together where none is named, have so many
 *   open sockets.
 *
 * @category models
 * @since 0.1.0
 */
export type Connections = Network.Connections

/**
 * A running proxy.
 *
 * **Details**
 *
 * *Shape*
 * - `certificate`: what clients are shown, as PEM; `null` without `tls`.
 * - `port`, `addresses`: its first port, and all of them as `host:port`, for clients.
 * - `connectTo`: names the broker, and checks that it is one; that behind another port than the
 *   first by its position in `addresses`. Until then clients are reset.
 * - `inject`: a rule that is in force until the scope closes. If the scope ends well and the rule
 *   never fired, its end fails with `RuleNeverFired`.
 * - `withRule`: the same around one effect.
 * - `assertAllFired`: fails with `RuleNeverFired` for every rule now in force that has not fired.
 * - `release`: delivers what is held behind a gate; answers how many frames.
 * - `blackhole`: nothing gets through in that direction, on any connection, until `heal`; what is
 *   sent meanwhile is delivered then, as TCP does, up to the buffers in between.
 * - `refuse`: new connections are reset at once, until `heal`.
 * - `resetAll`: resets all connections; answers how many.
 *
 * **Gotchas**
 *
 * - Delays and the times in the wire log are of the wall clock, also under a `TestClock`: the
 *   client and the broker know no other.
 * - A gate that is released with nothing behind it fails, for the test would prove nothing: wait
 *   for the `fired` of the rule that holds.
 * - The Java client takes answers strictly in the order of its requests; with several in flight use
 *   `realistic`.
 * - A client's own certificate ends at the proxy: the broker does not see it.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultProxy {
  readonly host: string
  readonly port: number
  readonly addresses: ReadonlyArray<string>
  readonly certificate: string | null
  readonly log: FaultProxyWireLog.WireLog
  readonly connections: Connections
  readonly connectTo: (
    target: Target.Target,
    position?: number
  ) => Effect.Effect<void, FaultProxyError>
  readonly inject: (
    rule: FaultProxyRule.FaultProxyRule
  ) => Effect.Effect<InjectedRule, FaultProxyError, Scope.Scope>
  readonly withRule: (
    rule: FaultProxyRule.FaultProxyRule
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | FaultProxyError, R>
  readonly assertAllFired: Effect.Effect<void, FaultProxyError>
  readonly release: (gate: string) => Effect.Effect<number, FaultProxyError>
  readonly blackhole: (direction: "both" | "requests" | "responses") => Effect.Effect<void>
  readonly refuse: Effect.Effect<void>
  readonly heal: Effect.Effect<void>
  readonly resetAll: Effect.Effect<number>
}

/**
 * Opens the proxy's ports, and keeps them until the scope closes. All its sockets are closed then,
 * and what is still held is dropped.
 *
 * **When to use**
 *
 * In front of a broker's second listener whose advertised port is the proxy's, so that clients
 * which bootstrap at the proxy stay on it, and checks that bootstrap at the first listener are
 * never disturbed.
 *
 * **Details**
 *
 * *Errors*
 * - `ListenFailed`: the port is taken, or `nodes` is not from 1 to 100.
 * - `InvalidRule`: a rule that can never fire; nothing has been opened.
 * - `InvalidCertificate`: `tls` cannot be used; nothing has been opened.
 * - `TargetUnreachable`, `NotKafka`: the target is no broker.
 * - `RuleNeverFired`: when the scope ends well and one of `rules` has not fired, unless it is
 *   `optional`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<FaultProxy, FaultProxyError, Scope.Scope> {
  const initial = yield* Effect.forEach(options.rules ?? [], check)
  const host = options.host ?? "127.0.0.1"
  const nodes = yield* checkNodes(options)
  const tls = yield* serverTls(options.tls)
  const topicNames = new Map<string, string>()
  const rules = RuleBook.make(options.seed ?? 0, topicNames)
  const log = yield* Effect.acquireRelease(
    Effect.sync(() => Log.make(options.entriesMax ?? 100_000, options.logFile)),
    (log) => log.close
  )
  const timers = yield* makeTimers
  const shared: Shared = {
    log,
    rules,
    gates: Gates.make(),
    mode: options.mode ?? "surgical",
    topicNames,
    later: timers.later
  }
  const network = Network.make(shared, tls?.context ?? null)
  const port = yield* listen(network.accept(0), host, options.port ?? 0)
  const ports = [port]
  while (ports.length < nodes) {
    ports.push(yield* listen(network.accept(ports.length), host, 0))
  }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      network.refuse()
      network.resetAll()
    })
  )

  const connectTo = Effect.fnUntraced(function*(target: Target.Target, position = 0) {
    yield* Target.check(target)
    network.setTarget(position, target)
  })
  const inject = (rule: FaultProxyRule.FaultProxyRule) =>
    Effect.flatMap(check(rule), (checked) => injectChecked(rules, checked))
  if (options.target !== undefined) yield* connectTo(options.target)
  for (const rule of initial) yield* injectChecked(rules, rule)

  return {
    host,
    port,
    certificate: tls?.certificate ?? null,
    addresses: ports.map((port) => `${host}:${port}`),
    log: log.wireLog,
    connections: network.connections,
    connectTo,
    inject,
    // The effect keeps the scope that it came with: only the rule ends here.
    withRule: (rule) => (effect) =>
      Effect.scopedWith((scope) =>
        Effect.andThen(Scope.provide(inject(rule), scope), () => effect)
      ),
    assertAllFired: Effect.suspend(() => requireFired(rules.all())),
    release: (gate) =>
      Effect.suspend(() => {
        const released = shared.gates.release(gate)
        return released > 0
          ? Effect.succeed(released)
          : Effect.fail(
            new FaultProxyError({ operation: "release", reason: new NothingHeld({ gate }) })
          )
      }),
    blackhole: (direction) => Effect.sync(() => network.blackhole(direction)),
    refuse: Effect.sync(network.refuse),
    heal: Effect.sync(network.heal),
    resetAll: Effect.sync(network.resetAll)
  }
})

const serverTls = Effect.fnUntraced(function*(tls: Options["tls"]) {
  if (tls === undefined) return null
  const { cert, key } = tls === true ? SelfSigned.make(yield* Clock.currentTimeMillis) : tls
  const context = yield* Effect.try({
    try: () => createSecureContext({ cert, key }),
    catch: (cause) =>
      new FaultProxyError({
        operation: "make",
        reason: new InvalidCertificate({ problem: cause instanceof Error ? cause.message : "?" })
      })
  })
  return { context, certificate: cert }
})

const checkNodes = ({ host = "127.0.0.1", nodes = 1, port = 0 }: Options) => {
  if (Number.isInteger(nodes) && nodes >= 1 && nodes <= 100) return Effect.succeed(nodes)
  const problem = `it cannot stand in front of ${nodes} nodes`
  return Effect.fail(
    new FaultProxyError({ operation: "make", reason: new ListenFailed({ host, port, problem }) })
  )
}

const check = Effect.fnUntraced(function*(rule: FaultProxyRule.FaultProxyRule) {
  const checked = yield* FaultProxyRule.validate(rule)
  const { action, match } = checked
  if (action.type !== "error" || match.api === undefined || ErrorResponse.canFail(match.api)) {
    return checked
  }
  return yield* new FaultProxyError({
    operation: "rule",
    reason: new InvalidRule({
      rule: FaultProxyRule.nameOf(checked),
      problem: `the answer of ${match.api} has no error code`
    })
  })
})

const injectChecked = (
  rules: RuleBook.RuleBook,
  rule: FaultProxyRule.FaultProxyRule
): Effect.Effect<InjectedRule, FaultProxyError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => rules.add(rule, FaultProxyRule.nameOf(rule))),
    (active, exit) => {
      rules.remove(active)
      // A test that has failed already is told its own error alone. Finalizers are typed `never`,
      // yet the scope fails with what they fail with; the error is declared on `inject` instead.
      // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
      return (Exit.isSuccess(exit) ? requireFired([active]) : Effect.void) as Effect.Effect<void>
    }
  ).pipe(Effect.map((active) => ({
    name: active.name,
    fired: Deferred.await(active.fired),
    hits: Effect.sync(() => active.hits),
    matched: Effect.sync(() => active.matched)
  })))

const requireFired = (
  rules: ReadonlyArray<RuleBook.ActiveRule>
): Effect.Effect<void, FaultProxyError> => {
  const silent = rules.filter(({ hits, rule }) => hits === 0 && rule.optional !== true)
  if (silent.length === 0) return Effect.void
  return Effect.fail(
    new FaultProxyError({
      operation: "assertAllFired",
      reason: new RuleNeverFired({ rules: silent.map(({ matched, name }) => ({ matched, name })) })
    })
  )
}

/** Timers of the wall clock that end with the scope. */
const makeTimers = Effect.acquireRelease(
  Effect.sync(() => {
    const cancels = new Set<() => void>()
    const later = (run: () => void, millis: number): void => {
      const done = () => {
        cancels.delete(cancel)
        run()
      }
      const cancel = millis > 0 ? cancelTimeout(done, millis) : cancelImmediate(done)
      cancels.add(cancel)
    }
    return { cancels, later }
  }),
  ({ cancels }) =>
    Effect.sync(() => {
      for (const cancel of cancels) cancel()
    })
)

const cancelTimeout = (run: () => void, millis: number): () => void => {
  const timer = setTimeout(run, millis)
  return () => clearTimeout(timer)
}

const cancelImmediate = (run: () => void): () => void => {
  const timer = setImmediate(run)
  return () => clearImmediate(timer)
}

const listen = (accept: (socket: Socket) => void, host: string, port: number) =>
  Effect.acquireRelease(
    Effect.callback<Server, FaultProxyError>((resume) => {
      const server = createServer({ noDelay: true }, accept)
      server.once("error", (error) =>
        resume(Effect.fail(
          new FaultProxyError({
            operation: "make",
            reason: new ListenFailed({ host, port, problem: error.message })
          })
        )))
      server.listen(port, host, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
      }).pipe(Effect.timeoutOption("5 seconds"))
  ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))
