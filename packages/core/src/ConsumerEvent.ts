/**
 * What happens to a consumer that nobody asked for, for logs, tests and dashboards.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { KafkaError } from "./KafkaError.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * What happens to a consumer.
 *
 * **Details**
 *
 * *Shape*
 * - `Joined`: the group has this member in this generation.
 * - `Assigned`: these partitions are this member's from now on.
 * - `Revoking`: the group takes these partitions away and waits for this member to let them go.
 *   Nothing more of them is handed out.
 * - `Revoked`: they have been let go.
 * - `Lost`: they are another member's already; what is open in them cannot commit any more.
 * - `Positioned`: the partition is read from there on: the group's committed position, where the
 *   consumer starts without one, or where a seek has asked for; `null` where that is the log's own
 *   start or end.
 * - `Unreachable` and `Reachable`: brokers do not answer; they do again.
 * - `Rejoining`: the session in the group has ended, and another one is opened.
 *
 * @category models
 * @since 0.1.0
 */
export type ConsumerEvent = Data.TaggedEnum<{
  Joined: { readonly groupId: string; readonly memberId: string; readonly generationId: number }
  Assigned: { readonly groupId: string; readonly partitions: ReadonlyArray<TopicPartition> }
  Revoking: { readonly groupId: string; readonly partitions: ReadonlyArray<TopicPartition> }
  Revoked: { readonly groupId: string; readonly partitions: ReadonlyArray<TopicPartition> }
  Lost: { readonly groupId: string; readonly partitions: ReadonlyArray<TopicPartition> }
  Positioned: {
    readonly groupId: string
    readonly topicPartition: TopicPartition
    readonly position: bigint | null
  }
  Unreachable: { readonly groupId: string; readonly last: string }
  Reachable: { readonly groupId: string }
  Rejoining: { readonly groupId: string; readonly error: KafkaError }
}>

/**
 * Constructors and matchers of {@link ConsumerEvent}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ConsumerEvent = Data.taggedEnum<ConsumerEvent>()
