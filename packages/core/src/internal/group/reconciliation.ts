/**
 * What a member of the consumer protocol owns, against what its coordinator has assigned to it.
 *
 * The coordinator names topics by their ids. A topic that is deleted and made again has another
 * one, so that its partitions are others, although their names are the same.
 */
import type { GroupMembership } from "../../GroupOffsets.ts"
import type { TopicIdPartitions, TopicLeaders } from "../../GroupProtocol.ts"
import * as TopicPartition from "../../TopicPartition.ts"
import type { OwnedPartitions } from "./ownedPartitions.ts"

/** What is to be done so that the member owns what is assigned to it. */
export interface Plan {
  readonly added: ReadonlyArray<Named>
  readonly removed: ReadonlyArray<TopicPartition.TopicPartition>
  /** A topic is assigned whose name is not known yet. */
  readonly isIncomplete: boolean
}

interface Named extends TopicPartition.TopicPartition {
  readonly topicId: string
}

export interface Reconciliation {
  readonly learn: (topics: ReadonlyArray<TopicLeaders>) => void
  readonly assign: (assignment: ReadonlyArray<TopicIdPartitions>) => void
  readonly plan: () => Plan
  readonly adopt: (membership: GroupMembership, added: ReadonlyArray<Named>) => void
  /** These are being given back: nothing more is fetched, and they are owned until `release`. */
  readonly hold: (partitions: ReadonlyArray<TopicPartition.TopicPartition>) => void
  readonly release: (partitions: ReadonlyArray<TopicPartition.TopicPartition>) => void
  /** Forgets everything, and answers what was owned. */
  readonly clear: () => ReadonlyArray<TopicPartition.TopicPartition>
  /** What the coordinator is told. */
  readonly owned: () => ReadonlyArray<TopicIdPartitions>
}

export const make = (owned: OwnedPartitions): Reconciliation => {
  const names = new Map<string, string>()
  const topicIds = new Map<string, string>()
  const held = new Set<string>()
  let target: ReadonlyArray<TopicIdPartitions> = []

  const release: Reconciliation["release"] = (partitions) => {
    owned.disown(partitions)
    for (const one of partitions) {
      held.delete(TopicPartition.toKey(one))
      topicIds.delete(TopicPartition.toKey(one))
    }
  }

  return {
    learn: (topics) => {
      for (const { topic, topicId } of topics) if (topicId) names.set(topicId, topic)
    },
    assign: (assignment) => {
      target = assignment
    },
    plan: () => {
      const assigned = target.flatMap(({ partitions, topicId }) => {
        const topic = names.get(topicId)
        return topic === undefined
          ? []
          : partitions.map((partition) => ({ topicId, topic, partition }))
      })
      const wanted = new Map(assigned.map((one) => [TopicPartition.toKey(one), one.topicId]))
      return {
        // What is being given back is owned until then; and so is what has the same name.
        added: assigned.filter((one) => !topicIds.has(TopicPartition.toKey(one))),
        removed: owned.all().filter((one) => {
          const key = TopicPartition.toKey(one)
          return !held.has(key) && wanted.get(key) !== topicIds.get(key)
        }),
        isIncomplete: target.some(({ topicId }) => !names.has(topicId))
      }
    },
    adopt: (membership, added) => {
      for (const one of added) topicIds.set(TopicPartition.toKey(one), one.topicId)
      owned.adopt(
        membership,
        added.map(({ partition, topic }) => ({ topic, partition }))
      )
    },
    hold: (partitions) => {
      for (const one of partitions) held.add(TopicPartition.toKey(one))
      owned.hold(partitions)
    },
    release,
    clear: () => {
      const partitions = owned.all()
      release(partitions)
      target = []
      return partitions
    },
    owned: () => {
      const byTopic = new Map<string, Array<number>>()
      for (const one of owned.all()) {
        const topicId = topicIds.get(TopicPartition.toKey(one)) ?? ""
        const ofTopic = byTopic.get(topicId)
        if (ofTopic === undefined) byTopic.set(topicId, [one.partition])
        else ofTopic.push(one.partition)
      }
      return Array.from(byTopic, ([topicId, partitions]) => ({ topicId, partitions }))
    }
  }
}
