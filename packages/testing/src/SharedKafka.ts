/**
 * One broker for all test files of a run, or a cluster that runs already.
 *
 * **Example** (Two files, one broker)
 *
 * ```ts
 * // vitest.config.ts:  test: { globalSetup: ["@kafka-once/testing/SharedKafkaSetup"] }
 * import { layer } from "@effect/vitest"
 * import * as SharedKafka from "@kafka-once/testing/SharedKafka"
 * import * as Effect from "effect/Effect"
 *
 * const options = { timeout: "3 minutes", excludeTestServices: true } as const
 *
 * layer(SharedKafka.layer, options)("orders", (it) => {
 *   it.effect("has a topic of its own", () =>
 *     Effect.gen(function*() {
 *       const kafka = yield* SharedKafka.SharedKafka
 *       yield* kafka.createTopic("orders")
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
import { join } from "node:path"
import * as EmbeddedKafka from "./EmbeddedKafka.ts"
import * as EmbeddedKafkaError from "./EmbeddedKafkaError.ts"
import type { ProxiedListener } from "./EmbeddedKafkaNode.ts"
import * as BrokerNode from "./internal/brokerNode.ts"
import type * as Control from "./internal/control.ts"
import * as Files from "./internal/files.ts"
import { withLiveClock } from "./internal/liveClock.ts"
import * as Machine from "./internal/machine.ts"
import * as Ports from "./internal/ports.ts"

/**
 * The cluster of this run.
 *
 * **Details**
 *
 * - *Shape*: as of `EmbeddedKafka`, without what would end the broker for the other files.
 *   `proxied` holds the listener that is this worker's own, so that its proxy is in nobody's way;
 *   it is empty on a cluster of `KAFKA_BROKERS`, and for a fifth worker and later ones.
 *
 * **Gotchas**
 *
 * Names are shared: use topics, groups and transactional ids of your own.
 *
 * @category services
 * @since 0.1.0
 */
export class SharedKafka extends Context.Service<
  SharedKafka,
  Pick<
    EmbeddedKafka.EmbeddedKafka["Service"],
    "bootstrapServers" | "proxied" | "classPath" | "createTopic"
  >
>()("@kafka-once/testing/SharedKafka") {}

type Failed = EmbeddedKafkaError.EmbeddedKafkaError

// Each costs the broker a listener with its threads.
const workers = 4

/** How a worker learns of the broker that the run's setup started. */
const variable = "KAFKA_ONCE_SHARED_KAFKA"

interface Shared {
  readonly bootstrapServers: ReadonlyArray<string>
  readonly proxied: ReadonlyArray<ProxiedListener>
  readonly classPath: string
  readonly control: Control.Control
}

/**
 * The cluster of this run: the one that `SharedKafkaSetup` started, else that of `KAFKA_BROKERS`
 * (comma-separated, without TLS or password), else a broker of its own.
 *
 * **When to use**
 *
 * In suites that only need a cluster. A suite that stops brokers, or wants them otherwise, uses
 * `EmbeddedKafka.layer`.
 *
 * **Details**
 *
 * - *Errors*: those of `EmbeddedKafka.make`; `RequestRefused` when the cluster of `KAFKA_BROKERS`
 *   does not answer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<SharedKafka, Failed> = Layer.effect(
  SharedKafka,
  Effect.suspend(() => {
    const text = process.env[variable]
    return Effect.map(text === undefined ? start : Effect.succeed(JSON.parse(text)), serviceOf)
  })
)

const serviceOf = (shared: Shared): SharedKafka["Service"] => {
  const worker = Number(process.env["VITEST_POOL_ID"] ?? 1)
  const { createTopic } = EmbeddedKafka.requests(Effect.succeed(shared.control))
  return SharedKafka.of({
    bootstrapServers: shared.bootstrapServers,
    proxied: shared.proxied.slice(worker - 1, worker),
    classPath: shared.classPath,
    createTopic
  })
}

const start: Effect.Effect<Shared, Failed, Scope.Scope> = Effect.suspend(() => {
  const brokers = process.env["KAFKA_BROKERS"]
  return withLiveClock(brokers === undefined || brokers === "" ? embedded : external(brokers))
})

const embedded = Effect.gen(function*() {
  const proxiedPorts = yield* Ports.choose(workers)
  const kafka = yield* EmbeddedKafka.make({ proxiedPorts })
  const { bootstrapServers, classPath, proxied } = kafka
  return { bootstrapServers, classPath, proxied, control: yield* kafka.control }
})

/** A launcher without a node: the same door, to a cluster of somebody else. */
const external = Effect.fnUntraced(function*(brokers: string) {
  const machine = yield* Machine.prepare(EmbeddedKafka.defaultVersion)
  const settings = {
    directory: machine.directory,
    ownerDirectory: machine.directory,
    token: machine.secret,
    format: [],
    admin: {
      "bootstrap.servers": brokers,
      "default.api.timeout.ms": "5000",
      "request.timeout.ms": "5000"
    }
  }
  const logFile = join(machine.directory, "launcher.log")
  const wishes = { maximumHeapMegabytes: 128, port: null, logFile }
  const node = yield* BrokerNode.make(settings, machine, wishes)
  yield* Effect.catch(node.start, (error) => unreachable(brokers, error))
  return {
    bootstrapServers: brokers.split(",").map((address) => address.trim()),
    classPath: machine.jars.classPath,
    proxied: [],
    control: yield* node.control
  }
})

const unreachable = Effect.fnUntraced(function*(brokers: string, error: Failed) {
  const { reason } = error
  if (reason._tag !== "BrokerFailed") {
    return yield* error
  }
  // The log is about a connection and no broker; its end says all of it.
  yield* Files.remove(reason.logFile)
  return yield* EmbeddedKafkaError.make(
    new EmbeddedKafkaError.RequestRefused({
      request: `connecting to KAFKA_BROKERS ${JSON.stringify(brokers)}`,
      error: "NoAnswer",
      detail: `it is no cluster that answers. The end of the client's log:\n${reason.logTail}`
    })
  )
})

/**
 * Starts the run's cluster and tells the processes that are started later, until the scope closes.
 * Does nothing where that has been done already.
 *
 * **When to use**
 *
 * In the global setup of a test runner other than vitest, for which `SharedKafkaSetup` exists.
 *
 * @category constructors
 * @since 0.1.0
 */
export const provideToRun: Effect.Effect<void, Failed, Scope.Scope> = Effect.suspend(() =>
  process.env[variable] !== undefined ? Effect.void : Effect.acquireRelease(
    Effect.tap(start, (shared) =>
      Effect.sync(() => {
        process.env[variable] = JSON.stringify(shared)
      })),
    () =>
      Effect.sync(() => {
        delete process.env[variable]
      }),
    { interruptible: true }
  )
)
