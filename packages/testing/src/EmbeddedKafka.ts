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
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import * as EmbeddedKafkaError from "./EmbeddedKafkaError.ts"
import type { EmbeddedKafkaNode, ProxiedListener } from "./EmbeddedKafkaNode.ts"
import * as BrokerNode from "./internal/brokerNode.ts"
import * as BrokerSettings from "./internal/brokerSettings.ts"
import * as Certificates from "./internal/certificates.ts"
import * as Cluster from "./internal/cluster.ts"
import * as Control from "./internal/control.ts"
import * as Files from "./internal/files.ts"
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
 *   `plaintext`, `sasl` (PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, with `users`), `tls`, `sasl-tls`
 *   for both, or `mutual-tls`, where a client has to show a certificate.
 *   `users` maps names to passwords; `admin` is exempt from every access rule. `authorizer` turns
 *   access rules on: then nobody but `admin` may do anything that no rule allows; without `sasl`
 *   every client is `User:ANONYMOUS`. `properties` are added to the broker's own and win.
 *   `nodes` is 1, 3 or 5: with 3 or more, topics have three replicas of which two must be in sync,
 *   Kafka's own topics too, and a node that fails is missed after two seconds. `port` is the client
 *   listener's of a single node; a free one by default. `proxiedPorts` adds a client listener for
 *   each, which advertises that port of 127.0.0.1 in place of its own: a proxy listens there. With
 *   several nodes they come in rounds, one port for each node.
 * - *Units and bounds*: `maximumHeapMegabytes`, of each node, is 400 by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly nodes?: number | undefined
  readonly version?: string | undefined
  readonly features?: Readonly<Record<string, number>> | undefined
  readonly listeners?: BrokerSettings.Listeners | undefined
  readonly users?: Readonly<Record<string, string>> | undefined
  readonly authorizer?: boolean | undefined
  readonly autoCreateTopics?: boolean | undefined
  readonly properties?: Readonly<Record<string, string>> | undefined
  readonly port?: number | undefined
  readonly proxiedPorts?: ReadonlyArray<number> | undefined
  readonly maximumHeapMegabytes?: number | undefined
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
 * A running broker, or a cluster of several.
 *
 * **Details**
 *
 * - *Shape*: `bootstrapServers` and `proxied` are for clients. `ca` is the certificate to trust
 *   as PEM, `null` without TLS. `clientCertificate` is what `mutual-tls` asks of a client, as PEM;
 *   its principal is `User:CN=client`. `classPath` holds Kafka's own jars, for Java programs such
 *   as `CommittedRecords`. `nodes` are one by one what `start`, `stop` (in order), `kill` (as a
 *   crash does), `freeze` and `thaw` are to all at once; `restart` is `stop` and `start`; ports and
 *   data stay. `awaitInSync` waits until all nodes run and all replicas are in sync;
 *   `rollingRestart` restarts node after node, and waits for that before each and at the end.
 *   `leaderOf`, `followersOf` and the coordinators are looked up when they are run: what all
 *   running nodes say alike.
 * - *Units and bounds*: `start` answers within 60 s, `stop` within 20 s, a lookup within 10 s,
 *   `awaitInSync` within 60 s.
 * - *Errors*: `createTopic` and the rules fail `RequestRefused` with the name of the Java client's
 *   error; they have taken effect on all running nodes when they succeed. The waits and lookups
 *   fail `RequestRefused` with `NotInTime`.
 *
 * **Gotchas**
 *
 * After `kill`, a start takes up to 2 s longer: the broker's old session has to end first. For
 * about as long, the others still name a killed node as leader.
 *
 * @category services
 * @since 0.1.0
 */
export class EmbeddedKafka extends Context.Service<EmbeddedKafka, {
  readonly version: string
  readonly nodes: ReadonlyArray<EmbeddedKafkaNode>
  readonly bootstrapServers: ReadonlyArray<string>
  readonly proxied: ReadonlyArray<ProxiedListener>
  readonly users: Readonly<Record<string, string>>
  readonly ca: string | null
  readonly clientCertificate: { readonly cert: string; readonly key: string } | null
  readonly classPath: string
  readonly createTopic: (name: string, options?: TopicOptions) => Effect.Effect<void, Failed>
  readonly addAccessRule: (rule: AccessRule) => Effect.Effect<void, Failed>
  readonly removeAccessRule: (rule: AccessRule) => Effect.Effect<void, Failed>
  readonly start: Effect.Effect<void, Failed>
  readonly stop: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly restart: Effect.Effect<void, Failed>
  readonly rollingRestart: Effect.Effect<void, Failed>
  readonly freeze: Effect.Effect<void, Failed>
  readonly thaw: Effect.Effect<void, Failed>
  readonly awaitInSync: Effect.Effect<void, Failed>
  readonly leaderOf: (topic: string, partition: number) => Effect.Effect<EmbeddedKafkaNode, Failed>
  readonly followersOf: (
    topic: string,
    partition: number
  ) => Effect.Effect<ReadonlyArray<EmbeddedKafkaNode>, Failed>
  readonly transactionCoordinatorOf: (
    transactionalId: string
  ) => Effect.Effect<EmbeddedKafkaNode, Failed>
  readonly groupCoordinatorOf: (groupId: string) => Effect.Effect<EmbeddedKafkaNode, Failed>
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
 * Starts a broker, or a cluster of several, that lives as long as the scope.
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
 * When the scope closes every node is killed and the directory removed, also in the middle of the
 * start; when this process dies without closing it, the nodes notice and do the same.
 *
 * - *Units and bounds*: about 1.5 s, three nodes about 6 s on two cores; within 60 s, else it
 *   fails.
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
  const { directory, java, jars, secret } = machine
  const keyStores = BrokerSettings.hasTls(options.listeners)
    ? yield* Certificates.make(java, directory, secret)
    : null
  const users = BrokerSettings.hasUsers(options.listeners)
    ? { ...defaultUsers, ...options.users }
    : {}
  const launch = Effect.gen(function*() {
    const ports = yield* choosePorts(options)
    const shared = {
      voters: ports.map(({ controller }, index) => ({
        nodeId: index + 1,
        controllerPort: controller
      })),
      ownerDirectory: directory,
      clusterId: Buffer.from(`kafka-once${secret.slice(0, 6)}`).toString("base64url"),
      listeners: options.listeners ?? "plaintext",
      keyStores,
      users,
      authorizer: options.authorizer ?? false,
      autoCreateTopics: options.autoCreateTopics ?? false,
      features: options.features ?? {},
      properties: options.properties ?? {},
      secret
    } as const
    const members = yield* Effect.forEach(ports, (own, index) =>
      member(machine, options, {
        ...shared,
        nodeId: index + 1,
        directory: join(directory, String(index + 1)),
        ports: own
      }))
    yield* Cluster.each(members, ({ start }) => start).pipe(
      // Those that did start wait for the one that did not.
      Effect.onError(() => Cluster.each(members, ({ kill }) => kill))
    )
    return members
  })
  const members = yield* Effect.retry(launch, {
    times: portAttempts - 1,
    while: ({ reason }) => reason._tag === "PortInUse" && reason.option === null
  })
  return serviceOf(members, {
    version,
    users,
    ca: keyStores?.ca ?? null,
    clientCertificate: options.listeners === "mutual-tls" ? keyStores?.client ?? null : null,
    classPath: jars.classPath
  })
})

interface Member extends Cluster.Member {
  readonly control: Effect.Effect<Control.Control, Failed>
}

const member = Effect.fnUntraced(function*(
  machine: Machine.Machine,
  options: Options,
  settings: BrokerSettings.Node
): Effect.fn.Return<Member, Failed, Scope.Scope> {
  const { authorizer, directory, nodeId, ports, secret } = settings
  // What an attempt on other ports has left there would be believed.
  yield* Files.remove(directory)
  yield* Files.attempt("making a directory", () => mkdir(directory))
  const logFile = join(machine.directory, `broker-${nodeId}.log`)
  const { control, ...node } = yield* BrokerNode.make(BrokerSettings.make(settings), machine, {
    maximumHeapMegabytes: options.maximumHeapMegabytes ?? 400,
    port: options.port ?? null,
    logFile
  })
  return {
    node: {
      id: nodeId,
      address: `127.0.0.1:${ports.direct}`,
      proxied: ports.proxied.map(({ advertised, port }) => ({
        advertised: `127.0.0.1:${advertised}`,
        upstream: `127.0.0.1:${port}`
      })),
      logFile,
      ...node
    },
    asked: { id: nodeId, internalPort: ports.internal, secret: authorizer ? secret : null },
    control
  }
})

const serviceOf = (
  members: ReadonlyArray<Member>,
  known: Pick<
    EmbeddedKafka["Service"],
    "version" | "users" | "ca" | "clientCertificate" | "classPath"
  >
): EmbeddedKafka["Service"] => {
  const nodes = members.map(({ node }) => node)
  const rounds = Array.from({ length: nodes[0]?.proxied.length ?? 0 }, (_, round) => round)
  const control = Effect.flatMap(
    Cluster.running(members),
    (first) => Effect.firstSuccessOf([...first, ...members].map(({ control }) => control))
  )
  const { createTopic, ...rules } = requests(control)
  const stop = Cluster.each(members, ({ stop }) => stop)
  const start = Cluster.each(members, ({ start }) => start)
  return EmbeddedKafka.of({
    ...known,
    nodes,
    bootstrapServers: nodes.map(({ address }) => address),
    proxied: rounds.flatMap((round) => nodes.flatMap(({ proxied }) => proxied[round] ?? [])),
    createTopic: (name, options) =>
      Effect.andThen(createTopic(name, options), Cluster.awaitTopic(members, name)),
    ...rules,
    start,
    stop,
    kill: Cluster.each(members, ({ kill }) => kill),
    restart: Effect.andThen(stop, start),
    rollingRestart: Cluster.rollingRestart(members),
    freeze: Cluster.each(members, ({ freeze }) => freeze),
    thaw: Cluster.each(members, ({ thaw }) => thaw),
    awaitInSync: Cluster.awaitInSync(members),
    ...Cluster.roles(members),
    control
  })
}

const validate = Effect.fnUntraced(function*(options: Options) {
  const bad = (option: string, detail: string) =>
    EmbeddedKafkaError.make(new EmbeddedKafkaError.BadOption({ option, detail }))
  if (options.version !== undefined && !/^[0-9]+(\.[0-9]+)+[-\w.]*$/.test(options.version)) {
    return yield* bad("version", `${JSON.stringify(options.version)} is no version of Kafka`)
  }
  const nodes = options.nodes ?? 1
  if (![1, 3, 5].includes(nodes)) {
    return yield* bad("nodes", `${nodes} is none of 1, 3 and 5: nodes decide by their majority`)
  }
  if (nodes > 1 && options.port !== undefined) {
    return yield* bad("port", `${nodes} nodes cannot share a port; leave it out`)
  }
  if ((options.proxiedPorts?.length ?? 0) % nodes !== 0) {
    return yield* bad("proxiedPorts", `each of the ${nodes} nodes needs one of its own`)
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
  if (options.users !== undefined && !BrokerSettings.hasUsers(options.listeners)) {
    return yield* bad("users", `only listeners: "sasl" and "sasl-tls" know users`)
  }
})

const choosePorts = Effect.fnUntraced(function*(options: Options) {
  if (options.port !== undefined && !(yield* Ports.isFree(options.port))) {
    return yield* EmbeddedKafkaError.make(
      new EmbeddedKafkaError.PortInUse({ port: options.port, option: "port" })
    )
  }
  const advertised = options.proxiedPorts ?? []
  const nodes = options.nodes ?? 1
  const free = yield* Ports.choose(nodes * 3 + advertised.length)
  const next = (): number => free.pop() ?? 0
  return Array.from({ length: nodes }, (_, index): BrokerSettings.Ports => ({
    internal: next(),
    controller: next(),
    direct: options.port ?? next(),
    proxied: advertised
      .filter((_, position) => position % nodes === index)
      .map((advertised) => ({ port: next(), advertised }))
  }))
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
