import type { GroupMembership, GroupOffsets, ProcessedOffset } from "../GroupOffsets.ts"
import { Misconfigured } from "../KafkaError.ts"

/**
 * Who made offsets: a member of the group that fetched them, or a cursor, whose offsets need no
 * fencing by the group, because the transactional id fences whoever else would write them.
 */
export type Maker = "member" | "cursor"

// By identity, so that what a program has put together by hand, or copied, is never taken for one.
const makers = new WeakMap<GroupOffsets, Maker>()

const make = (maker: Maker, offsets: Pick<GroupOffsets, keyof GroupOffsets>): GroupOffsets => {
  // The mark that the type asks for is the identity.
  const made = offsets as GroupOffsets
  makers.set(made, maker)
  return made
}

/**
 * The offsets of a member of a group.
 */
export const ofMember = (
  groupId: string,
  membership: GroupMembership,
  offsets: ReadonlyArray<ProcessedOffset>
): GroupOffsets => make("member", { groupId, membership, offsets })

// What the protocol sends for a commit that comes from no member. A group that has members refuses
// it.
const nobody = { generationId: -1, memberId: "", groupInstanceId: null }

/**
 * The offsets of a cursor: a position under a group without members.
 */
export const ofCursor = (groupId: string, topic: string, position: bigint): GroupOffsets =>
  make("cursor", {
    groupId,
    membership: nobody,
    offsets: [{ topic, partition: 0, lastProcessed: position - 1n }]
  })

/**
 * Who made offsets; `null` where it was not the library.
 */
export const makerOf = (offsets: GroupOffsets): Maker | null => makers.get(offsets) ?? null

/**
 * Why offsets that the library has not made are refused. They are not quoted: they may be anything.
 */
export const notMade = (offsets: unknown): Misconfigured =>
  new Misconfigured({
    setting: "offsets",
    value: typeof offsets,
    problem: "must be those of a consumer's batch itself: the group fences nothing else"
  })
