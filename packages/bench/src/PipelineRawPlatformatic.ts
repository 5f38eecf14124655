/**
 * The contender without the library on the other client: its own consumer, producer and
 * transaction, as its documentation writes them.
 *
 * What it leaves open here, and the library does not, is in the driver's README: its transactions
 * are torn by a late commit (P7), a program that is started again under the same transactional id
 * is fenced (P8), and of offsets that are added at once all but one are lost (P10), so that they
 * are added one after the other. A run without a fault, under an id of its own, meets none of them.
 */
import { Consumer, type Message, Producer } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import type { Job } from "./PipelineJob.ts"
import type { PipelineWatch } from "./PipelineWatch.ts"

// Its default of a second would be what is measured: it meets the unfinished markers of the last
// transaction at nearly each begin.
const retryDelayMillis = 2

/** Runs the loop until all records of a job are committed. */
export const run = (brokers: ReadonlyArray<string>) => (job: Job, watch: PipelineWatch) =>
  Effect.tryPromise({
    try: () => loop(brokers, job, watch),
    catch: (cause) => cause instanceof Error ? cause : new Error(String(cause))
  })

const loop = async (
  brokers: ReadonlyArray<string>,
  job: Job,
  watch: PipelineWatch
): Promise<void> => {
  const options = {
    clientId: "bench-raw",
    bootstrapBrokers: [...brokers],
    retries: true,
    retryDelay: retryDelayMillis
  }
  const consumer = new Consumer({ ...options, groupId: job.group })
  const producer = new Producer({ ...options, transactionalId: job.group, idempotent: true })
  try {
    const messages = await consumer.consume({
      topics: [job.input],
      mode: "earliest",
      autocommit: false
    })
    let read = 0
    let batch: Array<Message> = []
    for await (const message of messages) {
      watch.given()
      batch.push(message)
      read++
      if (batch.length < job.batch && read < job.records) continue
      await transact(producer, consumer, job, batch)
      if (watch.committed(batch.length)) return
      batch = []
    }
  } finally {
    await consumer.close(true)
    await producer.close()
  }
}

const transact = async (
  producer: Producer,
  consumer: Consumer,
  job: Job,
  batch: ReadonlyArray<Message>
): Promise<void> => {
  const transaction = await producer.beginTransaction()
  try {
    await transaction.addConsumer(consumer)
    await transaction.send({
      messages: batch.map(({ key, value }) => ({ topic: job.output, key, value }))
    })
    for (const message of lastOfEachPartition(batch)) await transaction.addOffset(message)
    await transaction.commit()
  } catch (error) {
    await transaction.abort()
    throw error
  }
}

const lastOfEachPartition = (batch: ReadonlyArray<Message>): Iterable<Message> =>
  new Map(batch.map((message) => [message.partition, message])).values()
