/**
 * A real Apache Kafka broker for tests, as a resource: started, waited for, and gone with its
 * scope.
 *
 * **Example** (A suite with its own broker)
 *
 * ```ts
 * import { assert, layer } from "@effect/vitest"
 * import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
 * import * as Effect from "effect/Effect"
 *
 * const options = { timeout: "3 minutes", excludeTestServices: true } as const
 *
 * layer(EmbeddedKafka.layer(), options)("orders", (it) => {
 *   it.effect("has a topic", () =>
 *     Effect.gen(function*() {
 *       const kafka = yield* EmbeddedKafka.EmbeddedKafka
 *       yield* kafka.createTopic("orders", { partitions: 3 })
 *       assert.strictEqual(kafka.bootstrapServers.length, 1)
 *     }))
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as EmbeddedKafkaError from "./EmbeddedKafkaError.ts"
import * as BrokerNode from "./internal/brokerNode.ts"
import * as BrokerSettings from "./internal/brokerSettings.ts"
import * as Certificates from "./internal/certificates.ts"
import * as Control from "./internal/control.ts"
import { withLiveClock } from "./internal/liveClock.ts"
import * as Machine from "./internal/machine.ts"
import * as Ports from "./internal/ports.ts"

/**
 * How the broker is to be.
 *
 * **Details**
 *
 * - *Shape*: `version` of Apache Kafka (4.4.0). `features` are levels set when the data is
 *   formatted, such as `{ "transaction.version": 1 }`. `listeners` is what clients speak:
 *   `plaintext`, `sasl` (PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, with `users`), or `tls`.
 *   `users` maps names to passwords; `admin` is exempt from every access rule. `authorizer` turns
 *   access rules on: then nobody but `admin` may do anything that no rule allows; without `sasl`
 *   every client is `User:ANONYMOUS`. `properties` are added to the broker's own and win.
 *   `port` is the client listener's; a free one by default. `proxiedPorts` adds a client listener
 *   for each, which advertises that port of 127.0.0.1 in place of its own: a proxy listens there.
 * - *Units and bounds*: `maximumHeapMegabytes` is 400 by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly version?: string | undefined
  readonly features?: Readonly<Record<string, number>> | undefined
  readonly listeners?: "plaintext" | "sasl" | "tls" | undefined
  readonly users?: Readonly<Record<string, string>> | undefined
  readonly authorizer?: boolean | undefined
  readonly autoCreateTopics?: boolean | undefined
  readonly properties?: Readonly<Record<string, string>> | undefined
  readonly port?: number | undefined
  readonly proxiedPorts?: ReadonlyArray<number> | undefined
  readonly maximumHeapMegabytes?: number | undefined
}

/**
 * A client listener that advertises another port than its own.
 *
 * **Details**
 *
 * - *Shape*: a proxy listens on `advertised` and forwards to `upstream`, both `host:port`. A
 *   client that bootstraps at `advertised` stays on the proxy.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProxiedListener {
  readonly advertised: string
  readonly upstream: string
}

/**
 * A topic to be made.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicOptions {
  readonly partitions?: number | undefined
  readonly config?: Readonly<Record<string, string>> | undefined
}

/**
 * Who may do what with which resource, or may not.
 *
 * **Details**
 *
 * - *Shape*: `principal` such as `User:app`; `operation` as Kafka names it (`Read`, `Write`,
 *   `Describe`, `IdempotentWrite`, `All`, ...); `pattern` is `literal` and `permission` is `allow`
 *   by default. The one cluster is named `kafka-cluster`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AccessRule {
  readonly principal: string
  readonly operation: string
  readonly resourceType: "topic" | "group" | "cluster" | "transactionalId"
  readonly resource: string
  readonly pattern?: "literal" | "prefixed" | undefined
  readonly permission?: "allow" | "deny" | undefined
}

type Failed = EmbeddedKafkaError.EmbeddedKafkaError

/**
 * A running broker.
 *
 * **Details**
 *
 * - *Shape*: `bootstrapServers` and `proxied` are for clients. `ca` is the certificate to trust
 *   as PEM, `null` without `tls`. `classPath` holds Kafka's own jars, for Java programs such as
 *   `CommittedRecords`. `logFile` lives as long as the scope. `stop` ends it in order, `kill` as a
 *   crash does, `restart` is `stop` and `start`; ports and data stay. `pause` and `resume` freeze
 *   the process, which keeps its connections open.
 * - *Units and bounds*: `start` answers within 60 s, `stop` within 20 s.
 * - *Errors*: `createTopic` and the rules fail `RequestRefused` with the name of the Java client's
 *   error; they have taken effect on the broker when they succeed.
 *
 * **Gotchas**
 *
 * After `kill`, a start takes up to 2 s longer: the broker's old session has to end first.
 *
 * @category services
 * @since 0.1.0
 */
export class EmbeddedKafka extends Context.Service<EmbeddedKafka, {
  readonly version: string
  readonly bootstrapServers: ReadonlyArray<string>
  readonly proxied: ReadonlyArray<ProxiedListener>
  readonly users: Readonly<Record<string, string>>
  readonly ca: string | null
  readonly classPath: string
  readonly logFile: string
  readonly createTopic: (name: string, options?: TopicOptions) => Effect.Effect<void, Failed>
  readonly addAccessRule: (rule: AccessRule) => Effect.Effect<void, Failed>
  readonly removeAccessRule: (rule: AccessRule) => Effect.Effect<void, Failed>
  readonly start: Effect.Effect<void, Failed>
  readonly stop: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly restart: Effect.Effect<void, Failed>
  readonly pause: Effect.Effect<void, Failed>
  readonly resume: Effect.Effect<void, Failed>
  /** How another process of the same user reaches this broker's owner. @internal */
  readonly control: Effect.Effect<Control.Control, Failed>
}>()("@kafka-once/testing/EmbeddedKafka") {}

/**
 * The version of Apache Kafka that is started where none is asked for.
 *
 * @category models
 * @since 0.1.0
 */
export const defaultVersion = "4.4.0"

const defaultUsers = { admin: "admin-secret", app: "app-secret" }

// Another process may take a chosen port before the broker does.
const portAttempts = 5

/**
 * Starts a broker that lives as long as the scope.
 *
 * **When to use**
 *
 * Use {@link layer} in a suite; use this where a test needs several brokers, or one of its own.
 *
 * **Details**
 *
 * Needs Java 17 or newer with its compiler, and Maven at the first run, which fills a cache in
 * `XDG_CACHE_HOME` (or `~/.cache`) under `kafka-once`, telling so on standard error. When it
 * answers, both coordinators of the broker have answered, too. It listens on 127.0.0.1 only, and
 * always reads the machine's clock, also under a `TestClock`.
 *
 * When the scope closes the broker is killed and its directory removed; when this process dies
 * without closing it, the broker notices and does the same.
 *
 * - *Units and bounds*: about 1.5 s; within 60 s, else it fails.
 * - *Errors*: `NoJava`, `JavaTooOld`, `NoMaven`, `Offline`: install or connect. `BadOption`,
 *   `PortInUse`, `OutOfMemory`: change the option. `BrokerFailed`: read the log that it shows and
 *   names. `MachineFailed`: check rights and free space.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<EmbeddedKafka["Service"], Failed, Scope.Scope> => withLiveClock(start(options))

const start = Effect.fn("EmbeddedKafka.make")(function*(options: Options) {
  yield* validate(options)
  const version = options.version ?? defaultVersion
  const machine = yield* Machine.prepare(version)
  const { directory, java, jars, logFile, secret } = machine
  const keyStores = options.listeners === "tls"
    ? yield* Certificates.make(java, directory, secret)
    : null
  const maximumHeapMegabytes = options.maximumHeapMegabytes ?? 400
  const users = options.listeners === "sasl" ? { ...defaultUsers, ...options.users } : {}
  const launch = Effect.gen(function*() {
    const ports = yield* choosePorts(options)
    const settings = BrokerSettings.make({
      nodeId: 1,
      directory,
      clusterId: Buffer.from(`kafka-once${secret.slice(0, 6)}`).toString("base64url"),
      ports,
      listeners: options.listeners ?? "plaintext",
      keyStores,
      users,
      authorizer: options.authorizer ?? false,
      autoCreateTopics: options.autoCreateTopics ?? false,
      features: options.features ?? {},
      properties: options.properties ?? {},
      secret
    })
    const node = yield* BrokerNode.make(settings, machine, {
      maximumHeapMegabytes,
      port: options.port ?? null
    })
    yield* node.start
    return { node, ports }
  })
  const { node, ports } = yield* Effect.retry(launch, {
    times: portAttempts - 1,
    while: ({ reason }) => reason._tag === "PortInUse" && reason.option === null
  })
  return EmbeddedKafka.of({
    version,
    bootstrapServers: [`127.0.0.1:${ports.direct}`],
    proxied: ports.proxied.map(({ advertised, port }) => ({
      advertised: `127.0.0.1:${advertised}`,
      upstream: `127.0.0.1:${port}`
    })),
    users,
    ca: keyStores?.ca ?? null,
    classPath: jars.classPath,
    logFile,
    ...requests(node.control),
    start: node.start,
    stop: node.stop,
    kill: node.kill,
    restart: Effect.andThen(node.stop, node.start),
    pause: node.signal("SIGSTOP"),
    resume: node.signal("SIGCONT"),
    control: node.control
  })
})

const validate = Effect.fnUntraced(function*(options: Options) {
  const bad = (option: string, detail: string) =>
    EmbeddedKafkaError.make(new EmbeddedKafkaError.BadOption({ option, detail }))
  if (options.version !== undefined && !/^[0-9]+(\.[0-9]+)+[-\w.]*$/.test(options.version)) {
    return yield* bad("version", `${JSON.stringify(options.version)} is no version of Kafka`)
  }
  const named = options.proxiedPorts?.map((port) => ["proxiedPorts", port] as const) ?? []
  for (const [option, port] of [["port", options.port] as const, ...named]) {
    if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
      return yield* bad(option, `${port} is no port; use 1 to 65535`)
    }
  }
  const heap = options.maximumHeapMegabytes
  if (heap !== undefined && !(Number.isInteger(heap) && heap >= 1)) {
    return yield* bad("maximumHeapMegabytes", `${heap} is no whole number of megabytes`)
  }
  const user = Object.keys(options.users ?? {}).find((name) => !/^[\w.@-]+$/.test(name))
  if (user !== undefined) {
    return yield* bad("users", `${JSON.stringify(user)} is no user name; use letters and digits`)
  }
  if (options.users !== undefined && options.listeners !== "sasl") {
    return yield* bad("users", `only listeners: "sasl" knows users`)
  }
})

const choosePorts = Effect.fnUntraced(function*(options: Options) {
  if (options.port !== undefined && !(yield* Ports.isFree(options.port))) {
    return yield* EmbeddedKafkaError.make(
      new EmbeddedKafkaError.PortInUse({ port: options.port, option: "port" })
    )
  }
  const advertised = options.proxiedPorts ?? []
  const [internal = 0, controller = 0, free = 0, ...proxied] = yield* Ports.choose(
    3 + advertised.length
  )
  return {
    internal,
    controller,
    direct: options.port ?? free,
    proxied: proxied.map((port, index) => ({ port, advertised: advertised[index] ?? port }))
  } satisfies BrokerSettings.Ports
})

/**
 * What an owner asks of a launcher, wherever that was started.
 *
 * @category operations
 * @since 0.1.0
 * @internal
 */
export const requests = (control: Effect.Effect<Control.Control, Failed>) => {
  const ask = (what: string, request: Control.Request) =>
    withLiveClock(
      Effect.flatMap(control, (control) => Control.ask(control, what, request))
    )
  const access = (command: "addAcl" | "removeAcl") => (rule: AccessRule) =>
    ask(`${command} ${rule.operation} on ${rule.resourceType} ${rule.resource}`, {
      command,
      principal: rule.principal,
      operation: screaming(rule.operation),
      resourceType: screaming(rule.resourceType),
      resource: rule.resource,
      pattern: screaming(rule.pattern ?? "literal"),
      permission: screaming(rule.permission ?? "allow")
    })
  return {
    createTopic: (name: string, options: TopicOptions = {}) =>
      ask(`creating the topic ${JSON.stringify(name)}`, {
        command: "createTopic",
        name,
        partitions: options.partitions ?? 1,
        config: options.config ?? {}
      }),
    addAccessRule: access("addAcl"),
    removeAccessRule: access("removeAcl")
  }
}

/** `TRANSACTIONAL_ID` for `transactionalId`: the names of Java's constants. */
const screaming = (name: string): string => name.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase()

/**
 * A broker as a layer: {@link make}.
 *
 * **When to use**
 *
 * In a suite, `layer(EmbeddedKafka.layer())("...", (it) => ...)` of `@effect/vitest` starts one
 * broker for all its tests.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<EmbeddedKafka, Failed> =>
  Layer.effect(EmbeddedKafka, make(options))
