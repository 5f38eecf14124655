import type { GroupMembership, GroupOffsets } from "../GroupOffsets.ts"
import type { OffsetCommit } from "../KafkaDriver.ts"
import { ConsumerFenced, type Reason } from "../KafkaError.ts"
import { toKey } from "../TopicPartition.ts"
import * as Made from "./groupOffsets.ts"

interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

interface Group {
  readonly membership: GroupMembership
  readonly positions: Map<string, Position>
  /** What they were merged from. */
  readonly from: Array<GroupOffsets>
}

/**
 * The offsets of one transaction, merged per group (I4).
 */
export type MergedOffsets = Map<string, Group>

/**
 * Makes the offsets of one transaction.
 */
export const make = (): MergedOffsets => new Map()

/**
 * Adds what a group has processed; the highest offset of a partition wins. Offsets fetched under
 * two generations cannot be in one transaction: between them the partitions may have had another
 * owner.
 */
export const add = (merged: MergedOffsets, offsets: GroupOffsets): ConsumerFenced | null => {
  const { groupId, membership } = offsets
  let group = merged.get(groupId)
  if (group === undefined) {
    group = { membership, positions: new Map(), from: [] }
    merged.set(groupId, group)
  } else if (!isSameMembership(group.membership, membership)) {
    return new ConsumerFenced({ groupId, code: 22, name: "ILLEGAL_GENERATION" })
  }
  group.from.push(offsets)
  for (const { topic, partition, lastProcessed } of offsets.offsets) {
    const key = toKey({ topic, partition })
    const offset = lastProcessed + 1n
    const known = group.positions.get(key)
    if (known === undefined || known.offset < offset) {
      group.positions.set(key, { topic, partition, offset })
    }
  }
  return null
}

/**
 * Why offsets that were added cannot be committed any more, or `null`.
 */
export const problemOf = (merged: MergedOffsets): Reason | null => {
  for (const { from } of merged.values()) {
    for (const offsets of from) {
      const problem = Made.problemOf(offsets)
      if (problem !== null) return problem
    }
  }
  return null
}

const isSameMembership = (left: GroupMembership, right: GroupMembership): boolean =>
  left.generationId === right.generationId && left.memberId === right.memberId

/**
 * One commit a group, each with the token of this attempt.
 */
export const toCommits = (merged: MergedOffsets, token: string): ReadonlyArray<OffsetCommit> =>
  [...merged].map(([groupId, { membership, positions }]) => ({
    groupId,
    membership,
    metadata: token,
    positions: [...positions.values()]
  }))
