/**
 * What a driver's consumer shows of random transactions, beside what the log itself says.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import type { ConsumerSession } from "@kafka-once/core/ConsumerDriver"
import type { ProducerSession } from "@kafka-once/core/KafkaDriver"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import { first, type It, type Subject, withTopic } from "./ConsumerBench.ts"
import * as Consumer from "./ConsumerSteps.ts"
import * as Steps from "./DriverSteps.ts"
import * as Random from "./internal/random.ts"
import * as LogReader from "./LogReader.ts"
import * as PartitionLog from "./PartitionLog.ts"

const writers = 4
const steps = 150

/** Each batch of the log in a fetch of its own, a few of them, and all at once. */
const fetchSizes = [1, 500, 1024 * 1024]

/**
 * Adds the tests of what is visible to a suite. `KAFKA_ONCE_SEED` replays one.
 *
 * @category testing
 * @since 0.1.0
 */
export const tests = (it: It, subject: Subject): void => {
  const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? 18)
  it.effect(
    `transactions that overlap at random (seed ${seed}) are read as the log has them, in ` +
      "fetches of any size",
    () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka
        yield* withTopic(subject, {}, ({ groupId, options, topic }) =>
          Effect.gen(function*() {
            yield* Effect.scoped(writeAtRandom(topic, Random.make(seed)))
            const [log] = yield* LogReader.readSettled(kafka, topic)
            assert(log !== undefined)
            const expected = PartitionLog.visible(log).map((record) =>
              `${record.offset} ${PartitionLog.textOf(record)}`
            )
            const aborted = PartitionLog.decide(log).length - expected.length
            assert.isAbove(Math.min(expected.length, aborted), 20, "too few of either")
            for (const maxPartitionFetchBytes of fetchSizes) {
              const changes = {
                maxPartitionFetchBytes,
                groupId: `${groupId}-${maxPartitionFetchBytes}`
              }
              const seen = yield* Effect.scoped(Effect.gen(function*() {
                const { session } = yield* Consumer.openFromStart(options(changes))
                return yield* takeUntil(session, first(topic), log.highWatermark)
              }))
              assert.deepStrictEqual(seen, expected, `fetches of ${maxPartitionFetchBytes} bytes`)
            }
          }))
      })
  )
}

/** Producers whose transactions in one partition begin and end at random. */
const writeAtRandom = Effect.fnUntraced(function*(topic: string, random: Random.Random) {
  const open = new Set<ProducerSession>()
  const sessions: Array<ProducerSession> = []
  for (let n = 0; n < writers; n++) {
    sessions.push((yield* Steps.open(`${topic}-${n}`)).session)
  }
  for (let n = 0; n < steps; n++) {
    const session = random.pick(sessions)
    if (open.has(session) && random.chance(0.4)) {
      yield* Steps.persist(session.end(random.chance(0.5) ? "commit" : "abort"))
      open.delete(session)
      continue
    }
    if (!open.has(session)) yield* session.begin
    open.add(session)
    const values = Array.from({ length: random.int(1, 3) }, (_, at) => `${n}.${at}`)
    yield* Steps.sendOne(session, Steps.batch(topic, 0, ...values))
  }
  yield* Effect.forEach(open, (session) => Steps.persist(session.end("abort")))
})

/** What a partition shows below an offset, markers and aborted records passed over. */
const takeUntil = Effect.fnUntraced(function*(
  session: ConsumerSession,
  at: TopicPartition,
  end: bigint
) {
  const seen: Array<string> = []
  for (;;) {
    const batch = yield* session.take(at)
    const values = Consumer.valuesOf(batch)
    seen.push(...batch.records.map(({ offset }, n) => `${offset} ${values[n]}`))
    if (batch.nextOffset >= end) return seen
  }
})
