import type { GroupMembership, GroupOffsets, ProcessedOffset } from "../GroupOffsets.ts"
import { Misconfigured, OffsetsSuperseded } from "../KafkaError.ts"

/**
 * Who made offsets: a member of the group that fetched them, or a cursor, whose offsets need no
 * fencing by the group, because the transactional id fences whoever else would write them.
 */
type Maker = "member" | "cursor"

interface Standing {
  readonly maker: Maker
  /** Whether the partitions are still read on from where the offsets end. */
  readonly isCurrent: () => boolean
}

// By identity, so that what a program has put together by hand, or copied, is never taken for one.
const standings = new WeakMap<GroupOffsets, Standing>()

const make = (
  standing: Standing,
  offsets: Pick<GroupOffsets, keyof GroupOffsets>
): GroupOffsets => {
  // The mark that the type asks for is the identity.
  const made = offsets as GroupOffsets
  standings.set(made, standing)
  return made
}

const always = (): boolean => true

/**
 * The offsets of a member of a group.
 */
export const ofMember = (
  groupId: string,
  membership: GroupMembership,
  offsets: ReadonlyArray<ProcessedOffset>,
  isCurrent: () => boolean = always
): GroupOffsets => make({ maker: "member", isCurrent }, { groupId, membership, offsets })

// What the protocol sends for a commit that comes from no member. A group that has members refuses
// it.
const nobody = { generationId: -1, memberId: "", groupInstanceId: null }

/**
 * The offsets of a cursor: a position under a group without members.
 */
export const ofCursor = (groupId: string, topic: string, position: bigint): GroupOffsets =>
  make({ maker: "cursor", isCurrent: always }, {
    groupId,
    membership: nobody,
    offsets: [{ topic, partition: 0, lastProcessed: position - 1n }]
  })

/**
 * Whether offsets are a cursor's.
 */
export const isCursors = (offsets: GroupOffsets): boolean =>
  standings.get(offsets)?.maker === "cursor"

/**
 * Why offsets cannot be committed, whatever the group says of their member; `null` where they can.
 * What the library has not made is not quoted: it may be anything.
 */
export const problemOf = (offsets: GroupOffsets): Misconfigured | OffsetsSuperseded | null => {
  const standing = standings.get(offsets)
  if (standing === undefined) {
    return new Misconfigured({
      setting: "offsets",
      value: typeof offsets,
      problem: "must be those of a consumer's batch itself: the group fences nothing else"
    })
  }
  return standing.isCurrent() ? null : new OffsetsSuperseded({ groupId: offsets.groupId })
}
