import type { FetchedRecord } from "../../ConsumerDriver.ts"
import type { ProducerRecord } from "../../ProducerRecord.ts"
import type { TopicPartition } from "../../TopicPartition.ts"

/**
 * Why a record becomes a dead letter.
 */
export interface Verdict {
  readonly error: string
  readonly message: string
  readonly attempts: number
}

// A header is read by people and tools; a stack or a dump in it helps neither.
const maxMessageLength = 1_000

/**
 * The name and the message of what `process` failed with.
 */
export const describeError = (error: unknown): Omit<Verdict, "attempts"> => {
  if (typeof error === "object" && error !== null) {
    const named = error as { readonly _tag?: unknown; readonly name?: unknown }
    const name = [named._tag, named.name].find((part) => typeof part === "string")
    const message = error instanceof Error ? error.message : ""
    return { error: (name as string | undefined) ?? "Error", message: cut(message) }
  }
  return { error: typeof error, message: typeof error === "string" ? cut(error) : "" }
}

const cut = (text: string): string =>
  text.length <= maxMessageLength ? text : `${text.slice(0, maxMessageLength - 1)}…`

/**
 * A dead letter: the record as it was read, with headers that tell where it comes from and why it
 * is here. A header without a value becomes an empty one, which every driver can send.
 */
export const deadLetter = (
  to: string,
  groupId: string,
  { partition, topic }: TopicPartition,
  record: FetchedRecord,
  { attempts, error, message }: Verdict
): ProducerRecord => ({
  topic: to,
  key: record.key,
  value: record.value,
  timestamp: record.timestamp < 0n ? undefined : record.timestamp,
  headers: [
    ...record.headers.map(([name, value]) => [name, value ?? ""] as const),
    ["kafka-once.dead-letter.error", error],
    ["kafka-once.dead-letter.message", message],
    ["kafka-once.dead-letter.group", groupId],
    ["kafka-once.dead-letter.topic", topic],
    ["kafka-once.dead-letter.partition", String(partition)],
    ["kafka-once.dead-letter.offset", String(record.offset)],
    ["kafka-once.dead-letter.attempts", String(attempts)]
  ]
})
