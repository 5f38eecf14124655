/**
 * Offsets as a member of a group would hand them out, without a group.
 */
import type { GroupMembership, GroupOffsets, ProcessedOffset } from "@kafka-once/core/GroupOffsets"
import { ofMember } from "../../src/internal/groupOffsets.ts"

export const membership: GroupMembership = {
  generationId: 7,
  memberId: "member-1",
  groupInstanceId: null
}

/** The offsets of a group that has processed partition 0 of "input" up to there, and others. */
export const make = (
  lastProcessed: bigint,
  changes: {
    readonly groupId?: string
    readonly partition?: number
    readonly generationId?: number
    readonly others?: ReadonlyArray<ProcessedOffset>
  } = {}
): GroupOffsets => {
  const { generationId = membership.generationId, groupId = "billing", partition = 0 } = changes
  return ofMember(groupId, { ...membership, generationId }, [
    { topic: "input", partition, lastProcessed },
    ...changes.others ?? []
  ])
}
