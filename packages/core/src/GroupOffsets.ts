/**
 * The positions of a consumer group, as they travel in a transaction.
 *
 * @since 0.1.0
 */
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * What a consumer group has processed, with the membership under which it was fetched.
 *
 * **Details**
 *
 * *Shape*: `lastProcessed` is the offset of the last record that was processed; the library itself
 * computes the committed position, `lastProcessed + 1`. `membership` is the group's generation and
 * member at the time of the fetch, opaque to everyone but the driver that made it.
 *
 * **Gotchas**
 *
 * Only a consumer makes these. There is no constructor from a group id, because offsets without the
 * generation under which they were fetched let a zombie commit (KIP-447). What is put together by
 * hand does not have the type, and a copy of it is refused with `Misconfigured`.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupOffsets extends Made {
  readonly groupId: string
  readonly membership: GroupMembership
  readonly offsets: ReadonlyArray<ProcessedOffset>
}

// A private member of a class that is declared and nowhere defined: no literal, no spread and no
// class of a program's can have it, so that the type is the library's alone.
declare class Made {
  private readonly byTheLibrary: never
}

/**
 * The last processed offset of one partition.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessedOffset extends TopicPartition {
  readonly lastProcessed: bigint
}

/**
 * A group's generation and member, as a driver has seen them.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupMembership {
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
}
