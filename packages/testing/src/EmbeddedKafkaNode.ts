/**
 * One node of an embedded cluster: its addresses, and what can be done to its process.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { EmbeddedKafkaError } from "./EmbeddedKafkaError.ts"

/**
 * A client listener that advertises another port than its own.
 *
 * **Details**
 *
 * - *Shape*: a proxy listens on `advertised` and forwards to `upstream`, both `host:port`. A
 *   client that bootstraps at `advertised` stays on the proxy, or on those of the other nodes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProxiedListener {
  readonly advertised: string
  readonly upstream: string
}

/**
 * Where a node's process is in its life.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "stopped" | "starting" | "running" | "frozen"

/**
 * A node, which is broker and controller in one.
 *
 * **Details**
 *
 * - *Shape*: `id` is what Kafka calls it. `address` is of the listener that leads through no
 *   proxy; `logFile` lives as long as the scope. `stop` ends it in order, `kill` as a crash does
 *   (SIGKILL); `start` brings it back on its ports and data. `freeze` and `thaw` (SIGSTOP,
 *   SIGCONT) leave its connections open, and what is sent to it meanwhile is acted on after the
 *   thaw. `status` also notices a process that ended by itself.
 * - *Units and bounds*: `start` answers within 60 s, when both coordinators of the cluster have
 *   answered it; `stop` and `kill` within 20 s.
 * - *Errors*: `freeze` and `thaw` fail `RequestRefused` on a node that is stopped; `start` as the
 *   start of the cluster does.
 *
 * **Gotchas**
 *
 * A start needs most of the nodes: with two of three down, start both at once. After `kill`, it
 * takes up to 2 s longer: the node's old session has to end first.
 *
 * @category models
 * @since 0.1.0
 */
export interface EmbeddedKafkaNode {
  readonly id: number
  readonly address: string
  readonly proxied: ReadonlyArray<ProxiedListener>
  readonly logFile: string
  readonly start: Effect.Effect<void, EmbeddedKafkaError>
  readonly stop: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly freeze: Effect.Effect<void, EmbeddedKafkaError>
  readonly thaw: Effect.Effect<void, EmbeddedKafkaError>
  readonly status: Effect.Effect<Status>
}
