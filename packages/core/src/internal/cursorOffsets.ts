import type { GroupOffsets } from "../GroupOffsets.ts"

// By identity, so that what a program has put together by hand is never taken for one.
const made = new WeakSet<GroupOffsets>()

// What the protocol sends for a commit that comes from no member. A group that has members refuses
// it.
const nobody = { generationId: -1, memberId: "", groupInstanceId: null }

/**
 * The offsets of a cursor: a position under a group without members.
 */
export const make = (groupId: string, topic: string, position: bigint): GroupOffsets => {
  const offsets = {
    groupId,
    membership: nobody,
    offsets: [{ topic, partition: 0, lastProcessed: position - 1n }]
  }
  made.add(offsets)
  return offsets
}

/**
 * Whether offsets are a cursor's: they need no fencing by the group, because the transactional id
 * fences whoever else would write them.
 */
export const isMade = (offsets: GroupOffsets): boolean => made.has(offsets)
