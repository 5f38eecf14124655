/**
 * The contender without the library: `eachBatch`, a transaction, `sendOffsets` and commit, as the
 * documentation of kafkajs writes them.
 */
import * as Effect from "effect/Effect"
import { type Batch, type Consumer, Kafka, logLevel, Partitioners, type Producer } from "kafkajs"
import type { Job } from "./PipelineJob.ts"
import type { PipelineWatch } from "./PipelineWatch.ts"

// Its default of 300 ms would be what is measured: it meets the unfinished markers of the last
// transaction at nearly each begin.
const initialRetryTime = 2

/** What a record of the input takes in a batch, as `PipelineTopics` writes it. */
const recordBytes = 121

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
  const kafka = new Kafka({
    brokers: [...brokers],
    clientId: "bench-raw",
    logLevel: logLevel.NOTHING
  })
  const producer = kafka.producer({
    transactionalId: job.group,
    maxInFlightRequests: 1,
    idempotent: true,
    createPartitioner: Partitioners.DefaultPartitioner,
    retry: { initialRetryTime }
  })
  const consumer = kafka.consumer({
    groupId: job.group,
    // A batch is what one fetch answers of a partition, cut to whole batches of the log.
    maxBytesPerPartition: Math.round(job.batch * recordBytes * 1.1)
  })
  try {
    await producer.connect()
    await consumer.connect()
    await consumer.subscribe({ topic: job.input, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload: { error } }) => reject(error))
      consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => {
          watch.given()
          await transact(producer, job, batch)
          if (watch.committed(batch.messages.length)) resolve()
        }
      }).catch(reject)
    })
  } finally {
    await close(consumer, producer)
  }
}

const transact = async (producer: Producer, job: Job, batch: Batch): Promise<void> => {
  const transaction = await producer.transaction()
  try {
    await transaction.send({
      topic: job.output,
      messages: batch.messages.map(({ key, value }) => ({ key, value }))
    })
    await transaction.sendOffsets({
      consumerGroupId: job.group,
      topics: [{
        topic: batch.topic,
        partitions: [{
          partition: batch.partition,
          offset: (BigInt(batch.lastOffset()) + 1n).toString()
        }]
      }]
    })
    await transaction.commit()
  } catch (error) {
    await transaction.abort()
    throw error
  }
}

const close = async (consumer: Consumer, producer: Producer): Promise<void> => {
  await consumer.disconnect()
  await producer.disconnect()
}
