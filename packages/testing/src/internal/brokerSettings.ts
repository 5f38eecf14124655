/**
 * What a node is told: pure, from the options and the chosen ports.
 */

/** What clients speak. */
export type Listeners = "plaintext" | "sasl" | "tls" | "sasl-tls" | "mutual-tls"

export const hasUsers = (listeners: Listeners | undefined): boolean =>
  listeners === "sasl" || listeners === "sasl-tls"

export const hasTls = (listeners: Listeners | undefined): boolean =>
  listeners === "tls" || listeners === "sasl-tls" || listeners === "mutual-tls"

/** Certificates in the form that Java reads. */
export interface KeyStores {
  readonly keyStore: string
  readonly trustStore: string
  readonly password: string
}

/** Everything that settles one node. A cluster of more nodes is a list of these. */
export interface Node {
  readonly nodeId: number
  /** All nodes of the cluster, this one among them. */
  readonly voters: ReadonlyArray<Voter>
  readonly directory: string
  readonly ownerDirectory: string
  readonly clusterId: string
  readonly ports: Ports
  readonly listeners: Listeners
  readonly keyStores: KeyStores | null
  readonly users: Readonly<Record<string, string>>
  readonly authorizer: boolean
  readonly autoCreateTopics: boolean
  readonly features: Readonly<Record<string, number>>
  readonly properties: Readonly<Record<string, string>>
  readonly secret: string
}

export interface Voter {
  readonly nodeId: number
  readonly controllerPort: number
}

export interface Ports {
  readonly internal: number
  readonly controller: number
  readonly direct: number
  readonly proxied: ReadonlyArray<{ readonly port: number; readonly advertised: number }>
}

/** The file that the launcher reads. */
export interface Settings {
  /** The node's own. */
  readonly directory: string
  /** Removed by the launcher when its owner is gone: that of the whole cluster. */
  readonly ownerDirectory: string
  readonly token: string
  readonly format: ReadonlyArray<string>
  /** Left out where the launcher only opens a door to a cluster that runs already. */
  readonly server?: Readonly<Record<string, string>>
  readonly admin: Readonly<Record<string, string>>
}

/** The user of the broker itself, on its own two listeners. */
export const internalUser = "broker"

/** The user that every access rule is waived for, besides the broker. */
export const superUser = "admin"

export const make = (node: Node): Settings => ({
  directory: node.directory,
  ownerDirectory: node.ownerDirectory,
  token: node.secret,
  format: [
    "--cluster-id",
    node.clusterId,
    ...Object.entries(node.features).flatMap(([name, level]) => ["--feature", `${name}=${level}`]),
    ...scramArguments(node)
  ],
  server: {
    ...basics(node),
    ...listeners(node),
    ...security(node),
    ...node.properties
  },
  admin: {
    "bootstrap.servers": `127.0.0.1:${node.ports.internal}`,
    "client.id": "kafka-once-owner",
    "retry.backoff.ms": "10",
    "retry.backoff.max.ms": "50",
    "reconnect.backoff.ms": "20",
    ...(node.authorizer
      ? {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": plainLogin(internalUser, node.secret, {})
      }
      : {})
  }
})

// Three copies of everything, where there are nodes for them: one may go, and writes go on.
const replicas = ({ voters }: Node): number => Math.min(voters.length, 3)

const basics = (node: Node): Record<string, string> => ({
  "process.roles": "broker,controller",
  "node.id": String(node.nodeId),
  "log.dirs": `${node.directory}/data`,
  "controller.quorum.voters": node.voters
    .map(({ controllerPort, nodeId }) => `${nodeId}@127.0.0.1:${controllerPort}`).join(","),
  "auto.create.topics.enable": String(node.autoCreateTopics),
  "default.replication.factor": String(replicas(node)),
  "min.insync.replicas": String(Math.max(1, replicas(node) - 1)),
  // Few partitions: each is a file to open before the coordinator answers.
  "offsets.topic.num.partitions": "3",
  "offsets.topic.replication.factor": String(replicas(node)),
  "transaction.state.log.num.partitions": "3",
  "transaction.state.log.replication.factor": String(replicas(node)),
  "transaction.state.log.min.isr": String(Math.max(1, replicas(node) - 1)),
  "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
  "group.initial.rebalance.delay.ms": "0",
  "group.min.session.timeout.ms": "1000",
  // A killed node is registered again only when its old session has ended.
  "broker.session.timeout.ms": "2000",
  "broker.heartbeat.interval.ms": "400",
  ...(node.voters.length === 1 ? {} : failover)
})

/** So that the others do without a node that hangs in seconds, and not in half a minute. */
const failover = {
  "replica.lag.time.max.ms": "2000",
  // What waits for a frozen node's answer: heartbeats to its controller, end markers to its log.
  "controller.socket.timeout.ms": "2000",
  "request.timeout.ms": "2000"
}

const protocols: Readonly<Record<Listeners, string>> = {
  plaintext: "PLAINTEXT",
  sasl: "SASL_PLAINTEXT",
  tls: "SSL",
  "sasl-tls": "SASL_SSL",
  "mutual-tls": "SSL"
}

const listeners = (node: Node): Record<string, string> => {
  const own = node.authorizer ? "SASL_PLAINTEXT" : "PLAINTEXT"
  const clients = [
    { name: "DIRECT", port: node.ports.direct, advertised: node.ports.direct },
    ...node.ports.proxied.map((listener, index) => ({ name: `PROXIED${index}`, ...listener }))
  ]
  const all = [{ name: "INTERNAL", port: node.ports.internal }, ...clients]
  return {
    "listeners": [...all, { name: "CONTROLLER", port: node.ports.controller }]
      .map(({ name, port }) => `${name}://127.0.0.1:${port}`).join(","),
    "advertised.listeners": [
      { name: "INTERNAL", advertised: node.ports.internal },
      ...clients
    ].map(({ name, advertised }) => `${name}://127.0.0.1:${advertised}`).join(","),
    "listener.security.protocol.map": [
      `INTERNAL:${own}`,
      `CONTROLLER:${own}`,
      ...clients.map(({ name }) => `${name}:${protocols[node.listeners]}`)
    ].join(","),
    "inter.broker.listener.name": "INTERNAL",
    "controller.listener.names": "CONTROLLER"
  }
}

const security = (node: Node): Record<string, string> => ({
  ...(node.authorizer
    ? {
      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      "super.users": `User:${internalUser};User:${superUser}`,
      "sasl.mechanism.inter.broker.protocol": "PLAIN",
      "sasl.mechanism.controller.protocol": "PLAIN",
      ...plainListener("internal", { [internalUser]: node.secret }, node.secret),
      ...plainListener("controller", { [internalUser]: node.secret }, node.secret)
    }
    : {}),
  ...(hasUsers(node.listeners)
    ? Object.assign({}, ...clientListeners(node).map((name) => saslListener(name, node.users)))
    : {}),
  ...(node.keyStores === null
    ? {}
    : {
      // Only listeners for clients have TLS.
      "ssl.client.auth": node.listeners === "mutual-tls" ? "required" : "none",
      "ssl.keystore.type": "PKCS12",
      "ssl.keystore.location": node.keyStores.keyStore,
      "ssl.keystore.password": node.keyStores.password,
      "ssl.key.password": node.keyStores.password,
      "ssl.truststore.type": "PKCS12",
      "ssl.truststore.location": node.keyStores.trustStore,
      "ssl.truststore.password": node.keyStores.password
    })
})

const clientListeners = (node: Node): ReadonlyArray<string> => [
  "direct",
  ...node.ports.proxied.map((_, index) => `proxied${index}`)
]

const plainListener = (
  listener: string,
  users: Readonly<Record<string, string>>,
  secret: string
): Record<string, string> => ({
  [`listener.name.${listener}.sasl.enabled.mechanisms`]: "PLAIN",
  [`listener.name.${listener}.plain.sasl.jaas.config`]: plainLogin(internalUser, secret, users)
})

const scramLogin = "org.apache.kafka.common.security.scram.ScramLoginModule required;"

const saslListener = (
  listener: string,
  users: Readonly<Record<string, string>>
): Record<string, string> => ({
  [`listener.name.${listener}.sasl.enabled.mechanisms`]: "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
  [`listener.name.${listener}.plain.sasl.jaas.config`]: plainLogin(null, "", users),
  [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`]: scramLogin,
  [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`]: scramLogin
})

const plainLogin = (
  username: string | null,
  password: string,
  users: Readonly<Record<string, string>>
): string =>
  [
    "org.apache.kafka.common.security.plain.PlainLoginModule required",
    ...(username === null
      ? []
      : [`username=${quoted(username)}`, `password=${quoted(password)}`]),
    ...Object.entries(users).map(([name, password]) => `user_${name}=${quoted(password)}`)
  ].join(" ") + ";"

const quoted = (value: string): string => `"${value.replace(/["\\]/g, "\\$&")}"`

const scramArguments = (node: Node): ReadonlyArray<string> =>
  !hasUsers(node.listeners) ?
    [] :
    Object.entries(node.users).flatMap(([name, password]) =>
      ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
        "--add-scram",
        `${mechanism}=[name=${quoted(name)},password=${quoted(password)}]`
      ])
    )
