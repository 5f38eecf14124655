/**
 * A consumer group in memory: members, a generation, and who owns which partition.
 *
 * It follows the classic protocol with the eager strategy: a rebalance takes everything from
 * everyone first, and waits for those that hold. What a broker does by a timer happens when the
 * test says so.
 */
import type { GroupMembership } from "@kafka-once/core/GroupOffsets"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import { toKey } from "@kafka-once/core/TopicPartition"

/** How a member hears of what the group decides. */
export interface Listener {
  readonly holds: boolean
  readonly assigned: (
    membership: GroupMembership,
    partitions: ReadonlyArray<TopicPartition>
  ) => void
  readonly revoking: (partitions: ReadonlyArray<TopicPartition>, release: () => void) => void
  readonly lost: (partitions: ReadonlyArray<TopicPartition>) => void
}

interface Member {
  readonly memberId: string
  readonly listener: Listener
  owned: ReadonlyArray<TopicPartition>
  /** The generation that the member knows; 0 before its first. */
  generationId: number
  /** It has let go of what it had, and waits for the next generation. */
  isWaiting: boolean
  /** It was asked to let go, and has not yet. */
  isAsked: boolean
}

export type GroupDouble = ReturnType<typeof make>

export const codes = {
  ILLEGAL_GENERATION: 22,
  UNKNOWN_MEMBER_ID: 25,
  REBALANCE_IN_PROGRESS: 27
} as const

export const make = (partitions: () => ReadonlyArray<TopicPartition>) => {
  const members = new Map<string, Member>()
  let generationId = 0
  let rebalancing = false
  let joined = 0

  const finish = (): void => {
    if (!rebalancing || [...members.values()].some(({ isWaiting }) => !isWaiting)) return
    rebalancing = false
    generationId += 1
    const all = [...members.values()]
    for (const [i, member] of all.entries()) {
      member.isWaiting = false
      member.generationId = generationId
      member.owned = partitions().filter((_, p) => p % all.length === i)
      const { memberId } = member
      member.listener.assigned({ generationId, memberId, groupInstanceId: null }, member.owned)
    }
  }

  const wait = (member: Member): void => {
    member.owned = []
    member.isWaiting = true
    finish()
  }

  const rebalance = (): void => {
    rebalancing = true
    // A copy: a member that lets go at once may finish the rebalance in the middle.
    for (const member of members.values()) {
      if (member.isWaiting || member.isAsked) continue
      const { listener, owned } = member
      if (listener.holds && owned.length > 0) {
        member.isAsked = true
        listener.revoking(owned, () => {
          if (!member.isAsked || members.get(member.memberId) !== member) return
          member.isAsked = false
          wait(member)
        })
      } else {
        if (owned.length > 0) listener.lost(owned)
        member.owned = []
        member.isWaiting = true
      }
    }
    finish()
  }

  return {
    join: (listener: Listener): string => {
      const memberId = `member-${++joined}`
      const member = {
        memberId,
        listener,
        owned: [],
        generationId: 0,
        isWaiting: true,
        isAsked: false
      }
      members.set(memberId, member)
      rebalance()
      return memberId
    },
    leave: (memberId: string): void => {
      if (members.delete(memberId)) rebalance()
    },
    /** A new generation that takes nothing from anyone, as a cooperative rebalance can be. */
    renew: (): void => {
      generationId += 1
      for (const { listener, memberId } of members.values()) {
        listener.assigned({ generationId, memberId, groupInstanceId: null }, [])
      }
    },
    /** A rebalance that changes no member, as a topic with more partitions makes one. */
    rebalance,
    /**
     * The group goes on without a member that it has not heard of for the session timeout. The
     * member finds out at its next heartbeat, or when the test says so.
     */
    kick: (memberId: string): () => void => {
      const member = members.get(memberId)
      if (member === undefined) return () => {}
      members.delete(memberId)
      const { listener, owned } = member
      rebalance()
      return () => listener.lost(owned)
    },
    /** What the coordinator answers a member's heartbeat or commit, `null` for yes. */
    refusal: ({ generationId: of, memberId }: GroupMembership): number | null => {
      const member = members.get(memberId)
      if (member === undefined) return codes.UNKNOWN_MEMBER_ID
      return of === generationId ? null : codes.ILLEGAL_GENERATION
    },
    heartbeat: (memberId: string): number | null => {
      if (!members.has(memberId)) return codes.UNKNOWN_MEMBER_ID
      return rebalancing ? codes.REBALANCE_IN_PROGRESS : null
    },
    members: () => [...members.keys()],
    generation: () => generationId,
    ownerOf: (at: TopicPartition): string | null =>
      [...members.values()].find(({ owned }) => owned.some((own) => toKey(own) === toKey(at)))
        ?.memberId ?? null
  }
}
