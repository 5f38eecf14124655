/**
 * The records that the contenders write: the same ones, with the same headers.
 */
import type { ProducerRecord } from "@kafka-once/core/ProducerRecord"
import type { Message } from "kafkajs"

/** Records in the shapes of the library and of kafkajs. */
export interface Records {
  readonly ours: ReadonlyArray<ProducerRecord>
  readonly raw: ReadonlyArray<Message>
}

/** Makes records of 100 bytes or so many, each with a key of its own and one header. */
export const make = (topic: string, count: number, valueBytes = 100): Records => {
  const header = new TextEncoder().encode("bench")
  const plain = Array.from({ length: count }, (_, index) => ({
    key: `key-${index}`,
    value: `${index} `.padEnd(valueBytes, "0123456789")
  }))
  return {
    ours: plain.map((record) => ({ topic, ...record, headers: [["source", header]] })),
    raw: plain.map((record) => ({ ...record, headers: { source: Buffer.from(header) } }))
  }
}
