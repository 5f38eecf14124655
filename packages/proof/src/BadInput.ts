/**
 * Bad input, against a real broker: each is one typed error that names the thing and says what to
 * do, in bounded time, with nothing half done.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import type { ProducerOptions } from "@kafka-once/core/ProducerOptions"
import type { ProducerRecord } from "@kafka-once/core/ProducerRecord"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import * as Strangers from "./internal/strangers.ts"
import * as LogReader from "./LogReader.ts"

/**
 * How a driver is to connect.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly brokers: ReadonlyArray<string>
  readonly user?: { readonly name: string; readonly password: string }
}

/**
 * A driver as this suite takes it. `user` is for SASL PLAIN without TLS.
 *
 * @category models
 * @since 0.1.0
 */
export type DriverAt = (
  connection: Connection
) => Layer.Layer<KafkaDriver, { readonly message: string }>

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka>

/**
 * Runs the suite over a driver, on brokers of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  const options = { timeout: "3 minutes", excludeTestServices: true } as const
  layer(EmbeddedKafka.layer(), options)(`bad input, over ${name}`, (it) => {
    ids(it, driver)
    addresses(it, driver)
    records(it, driver)
    bodies(it, driver)
  })
  layer(EmbeddedKafka.layer({ listeners: "sasl", authorizer: true }), options)(
    `bad rights, over ${name}`,
    (it) => rights(it, driver)
  )
}

const timeouts = {
  requestTimeout: "1 second",
  deliveryTimeout: "2 seconds",
  initializeTimeout: "3 seconds"
} as const

// Far above the deadlines, so that only what is unbounded meets it.
const bound = "15 seconds"

const uniqueId = () => `id-${randomUUID().slice(0, 8)}`

/** Makes a producer and runs one transaction with these records; gives its typed failure. */
const failureOf = (
  driver: ReturnType<DriverAt>,
  options: Partial<ProducerOptions>,
  sent: ReadonlyArray<ProducerRecord> = []
): Effect.Effect<KafkaError, unknown> =>
  Effect.gen(function*() {
    const producer = yield* TransactionalProducer.make({
      transactionalId: uniqueId(),
      ...timeouts,
      ...options
    })
    yield* Transaction.send(sent).pipe(producer.withTransaction())
  }).pipe(
    Effect.scoped,
    Effect.provide(driver),
    Effect.timeout(bound),
    Effect.flip,
    Effect.flatMap((error) =>
      "_tag" in error && error._tag === "KafkaError"
        ? Effect.succeed(error)
        : Effect.die(error)
    )
  )

const assertFailure = (
  error: KafkaError,
  expected: {
    readonly reason: string
    readonly recovery: string
    readonly names: ReadonlyArray<string>
  }
): void => {
  assert.strictEqual(error.reason._tag, expected.reason, error.message)
  assert.strictEqual(error.recovery, expected.recovery)
  for (const name of expected.names) assert.include(error.message, name)
}

const here = (driver: DriverAt) =>
  Effect.map(
    EmbeddedKafka.EmbeddedKafka,
    ({ bootstrapServers }) => driver({ brokers: bootstrapServers })
  )

const ids = (it: It, driver: DriverAt): void => {
  it.effect.each(["", "x".repeat(250), "a\0b"])(
    "the transactional id %j",
    (transactionalId) =>
      Effect.gen(function*() {
        const error = yield* failureOf(yield* here(driver), { transactionalId })
        assertFailure(error, {
          reason: "Misconfigured",
          recovery: "reconfigure",
          names: ["transactionalId", "249"]
        })
      })
  )

  it.effect("a transaction timeout above the broker's maximum", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(yield* here(driver), { transactionTimeout: "2 hours" })
      assertFailure(error, {
        reason: "Misconfigured",
        recovery: "reconfigure",
        names: ["transactionTimeout", "7200000 ms", "transaction.max.timeout.ms"]
      })
    }))
}

const addresses = (it: It, driver: DriverAt): void => {
  it.effect("a host that does not exist", () =>
    Effect.gen(function*() {
      const unknown = driver({ brokers: ["no-such-host.invalid:9092"] })
      const error = yield* failureOf(unknown, {})
      assertFailure(error, {
        reason: "Unreachable",
        recovery: "retry",
        names: ["no-such-host.invalid", "Check the addresses"]
      })
    }))

  it.effect("a port on which nobody listens", () =>
    Effect.gen(function*() {
      // Port 1 of the loopback interface: nothing of this machine listens there.
      const error = yield* failureOf(driver({ brokers: ["127.0.0.1:1"] }), {})
      assertFailure(error, { reason: "Unreachable", recovery: "retry", names: ["127.0.0.1:1"] })
    }))

  it.effect("a server that speaks HTTP", () =>
    Effect.gen(function*() {
      const address = yield* Strangers.listen(Strangers.http)
      const error = yield* failureOf(driver({ brokers: [address] }), {})
      assertFailure(error, {
        reason: "NotKafka",
        recovery: "reconfigure",
        names: ["is not a Kafka broker", "Check the address"]
      })
    }))

  it.effect("a server that takes everything and says nothing", () =>
    Effect.gen(function*() {
      const address = yield* Strangers.listen(Strangers.silent)
      const error = yield* failureOf(driver({ brokers: [address] }), {})
      assertFailure(error, { reason: "Unreachable", recovery: "retry", names: ["No broker"] })
    }))
}

const withTopic = Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const topic = `topic-${randomUUID().slice(0, 8)}`
  yield* kafka.createTopic(topic, { partitions: 2 })
  return topic
})

const records = (it: It, driver: DriverAt): void => {
  it.effect.each([
    { topic: "", problem: "empty" },
    { topic: "a b", problem: "may hold only" },
    { topic: "..", problem: "cannot be" },
    { topic: "t".repeat(250), problem: "249" }
  ])("the topic name $topic", ({ topic, problem }) =>
    Effect.gen(function*() {
      const error = yield* failureOf(yield* here(driver), {}, [{ topic, value: "v" }])
      assertFailure(error, {
        reason: "InvalidRecord",
        recovery: "abort",
        names: [topic, problem, "Record 0"]
      })
    }))

  it.effect("a topic that does not exist", () =>
    Effect.gen(function*() {
      const topic = `missing-${randomUUID().slice(0, 8)}`
      const error = yield* failureOf(yield* here(driver), {}, [{ topic, value: "v" }])
      assertFailure(error, {
        reason: "UnknownTopic",
        recovery: "reconfigure",
        names: [topic, "Create it first"]
      })
    }))

  it.effect("a partition that does not exist, after a record that is good", () =>
    Effect.gen(function*() {
      const topic = yield* withTopic
      const error = yield* failureOf(yield* here(driver), {}, [
        { topic, value: "good" },
        { topic, value: "bad", partition: 7 }
      ])
      assertFailure(error, {
        reason: "UnknownTopic",
        recovery: "reconfigure",
        names: [topic, "no partition 7"]
      })
      yield* assertEmpty(topic)
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      assert.deepStrictEqual(yield* CommittedRecords.read({ ...kafka, topic }), [])
    }))

  it.effect("a record larger than the broker takes", () =>
    Effect.gen(function*() {
      const topic = yield* withTopic
      const large = "x".repeat(2_000_000)
      const error = yield* failureOf(yield* here(driver), {}, [{
        topic,
        partition: 1,
        value: large
      }])
      assertFailure(error, {
        reason: "RecordRejected",
        recovery: "abort",
        names: [topic, "partition 1", "MESSAGE_TOO_LARGE", "max.message.bytes"]
      })
      assert.notInclude(error.message, "xxx")
      yield* assertEmpty(topic)
    }))

  it.effect("a header whose value is null", () =>
    Effect.gen(function*() {
      const topic = yield* withTopic
      const record = { topic, value: "v", headers: [["trace", null]] } as unknown as ProducerRecord
      const error = yield* failureOf(yield* here(driver), {}, [{ topic, value: "good" }, record])
      assertFailure(error, {
        reason: "InvalidRecord",
        recovery: "abort",
        names: ["Record 1", '"trace"', "null"]
      })
      yield* assertEmpty(topic)
    }))
}

/** Nothing of a refused transaction is visible, and none is open. */
const assertEmpty = (topic: string) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    assert.deepStrictEqual(yield* LogReader.visibleValues(kafka, topic), [])
  })

const bodies = (it: It, driver: DriverAt): void => {
  it.effect.each([new Error("thrown"), "a text", null, { odd: true }])(
    "a body that throws %j aborts, and its defect leaves unchanged",
    (thrown) =>
      Effect.gen(function*() {
        const topic = yield* withTopic
        const exit = yield* Effect.gen(function*() {
          const producer = yield* TransactionalProducer.make({ transactionalId: uniqueId() })
          return yield* Transaction.send([{ topic, value: "v" }]).pipe(
            Effect.andThen(Effect.sync(() => {
              throw thrown
            })),
            producer.withTransaction()
          )
        }).pipe(Effect.scoped, Effect.provide(yield* here(driver)), Effect.exit)
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) {
          const [reason, ...more] = exit.cause.reasons
          assert.deepStrictEqual(more, [])
          assert(reason?._tag === "Die")
          assert.strictEqual(reason.defect, thrown)
        }
        yield* assertEmpty(topic)
      })
  )
}

const rights = (it: It, driver: DriverAt): void => {
  const as = (name: string, password?: string) =>
    Effect.map(EmbeddedKafka.EmbeddedKafka, ({ bootstrapServers, users }) =>
      driver({
        brokers: bootstrapServers,
        user: { name, password: password ?? users[name] ?? "" }
      }))

  it.effect("wrong credentials fail at start", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(yield* as("app", "not-the-password"), {})
      assertFailure(error, {
        reason: "AuthenticationFailed",
        recovery: "reconfigure",
        names: ["initialize", "password"]
      })
      assert.notInclude(error.message, "not-the-password")
    }))

  it.effect("a transactional id without permission fails at start", () =>
    Effect.gen(function*() {
      const transactionalId = uniqueId()
      const error = yield* failureOf(yield* as("app"), { transactionalId })
      assertFailure(error, {
        reason: "NotAuthorized",
        recovery: "reconfigure",
        names: ["initialize", "transactional id", transactionalId, "Grant"]
      })
    }))

  it.effect("a topic without permission", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const topic = yield* withTopic
      const transactionalId = uniqueId()
      yield* allow(kafka, "transactionalId", transactionalId)
      // Without Describe a topic looks as if it did not exist; with it the right to write is
      // missing.
      yield* kafka.addAccessRule({
        principal: "User:app",
        operation: "Describe",
        resourceType: "topic",
        resource: topic
      })
      const error = yield* failureOf(yield* as("app"), { transactionalId }, [{ topic, value: "v" }])
      assertFailure(error, {
        reason: "NotAuthorized",
        recovery: "reconfigure",
        names: [`topic "${topic}"`, "Grant"]
      })
    }))

  it.effect("with Write on the transactional id and on the topic it commits", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const topic = yield* withTopic
      const transactionalId = uniqueId()
      yield* allow(kafka, "transactionalId", transactionalId)
      yield* allow(kafka, "topic", topic)
      const metadata = yield* Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({ transactionalId })
        return yield* Transaction.send([{ topic, value: "v" }]).pipe(producer.withTransaction())
      }).pipe(Effect.scoped, Effect.provide(yield* as("app")))
      assert.strictEqual(Option.fromNullishOr(metadata[0]).pipe(Option.isSome), true)
    }))
}

const allow = (
  kafka: EmbeddedKafka.EmbeddedKafka["Service"],
  resourceType: "transactionalId" | "topic",
  resource: string
) => kafka.addAccessRule({ principal: "User:app", operation: "Write", resourceType, resource })
