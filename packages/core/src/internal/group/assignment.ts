/**
 * What members of a group tell each other through its coordinator: who subscribes to what, and,
 * from the member that leads, who gets which partitions.
 *
 * The formats are the Java client's `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`
 * in version 0, and the assignment is its `RangeAssignor`, so that members of both kinds share a
 * group. Later versions only append fields, which are not read.
 */
import type { TopicPartition } from "../../TopicPartition.ts"
import { decodeUtf8, encodeUtf8 } from "../utf8.ts"

/** The name under which every client knows this assignment. */
export const assignor = "range"

export interface Subscriber {
  readonly memberId: string
  readonly topics: ReadonlyArray<string>
}

export const encodeSubscription = (topics: ReadonlyArray<string>): Uint8Array => {
  const out = writer()
  out.int16(0)
  out.int32(topics.length)
  for (const topic of topics) out.text(topic)
  out.int32(noUserData)
  return out.bytes()
}

/** Fails with a RangeError where the bytes end too early. */
export const decodeSubscription = (bytes: Uint8Array): ReadonlyArray<string> => {
  const input = reader(bytes)
  input.int16()
  return input.array(input.text)
}

export const encodeAssignment = (partitions: ReadonlyArray<TopicPartition>): Uint8Array => {
  const byTopic = new Map<string, Array<number>>()
  for (const { partition, topic } of partitions) {
    const ofTopic = byTopic.get(topic)
    if (ofTopic === undefined) byTopic.set(topic, [partition])
    else ofTopic.push(partition)
  }
  const out = writer()
  out.int16(0)
  out.int32(byTopic.size)
  for (const [topic, ofTopic] of byTopic) {
    out.text(topic)
    out.int32(ofTopic.length)
    for (const partition of ofTopic) out.int32(partition)
  }
  out.int32(noUserData)
  return out.bytes()
}

/** No bytes at all are what a member gets that the leader did not name. */
export const decodeAssignment = (bytes: Uint8Array): ReadonlyArray<TopicPartition> => {
  if (bytes.length === 0) return []
  const input = reader(bytes)
  input.int16()
  return input.array(() => {
    const topic = input.text()
    return input.array(input.int32).map((partition) => ({ topic, partition }))
  }).flat()
}

/**
 * Gives each subscriber of a topic a range of its partitions, the first ones one more where they do
 * not come out even. Members are in the order of their ids, so every leader answers the same.
 */
export const assign = (
  subscribers: ReadonlyArray<Subscriber>,
  partitionCounts: ReadonlyMap<string, number>
): ReadonlyMap<string, ReadonlyArray<TopicPartition>> => {
  const assigned = new Map(
    subscribers.map(({ memberId }) => [memberId, Array<TopicPartition>()] as const)
  )
  for (const [topic, count] of partitionCounts) {
    const members = subscribers
      .filter(({ topics }) => topics.includes(topic))
      .map(({ memberId }) => memberId)
      .toSorted((left, right) => left < right ? -1 : 1)
    let next = 0
    members.forEach((memberId, index) => {
      const share = Math.floor(count / members.length) + (index < count % members.length ? 1 : 0)
      for (const end = next + share; next < end; next++) {
        assigned.get(memberId)?.push({ topic, partition: next })
      }
    })
  }
  return assigned
}

const noUserData = -1

const writer = () => {
  const out: Array<number> = []
  const int16 = (value: number): void => {
    out.push((value >> 8) & 0xff, value & 0xff)
  }
  const int32 = (value: number): void => {
    int16(value >> 16)
    int16(value)
  }
  return {
    int16,
    int32,
    text: (value: string): void => {
      const bytes = encodeUtf8(value)
      int16(bytes.length)
      out.push(...bytes)
    },
    bytes: (): Uint8Array => Uint8Array.from(out)
  }
}

const reader = (bytes: Uint8Array) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const int16 = (): number => {
    at += 2
    return view.getInt16(at - 2)
  }
  const int32 = (): number => {
    at += 4
    return view.getInt32(at - 4)
  }
  const text = (): string => {
    const length = int16()
    at += length
    if (at > bytes.length) throw new RangeError("The bytes end within a text")
    return decodeUtf8(bytes.subarray(at - length, at))
  }
  const array = <A>(one: () => A): Array<A> => {
    const items: Array<A> = []
    for (let left = int32(); left > 0; left--) items.push(one())
    return items
  }
  return { int16, int32, text, array }
}
