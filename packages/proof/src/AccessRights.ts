/**
 * The rights that docs/deployment.md names: with exactly these a program works, and with one of
 * them missing it fails with a named error, and nothing of it is left open.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import * as Cursor from "@kafka-once/core/Cursor"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { reasonOf, send, timeouts } from "./ProducerBench.ts"

/**
 * A driver that logs in to these addresses as a user.
 *
 * @category models
 * @since 0.1.0
 */
export type DriverAs = (
  addresses: ReadonlyArray<string>,
  user: string,
  password: string
) => Layer.Layer<KafkaDriver, { readonly message: string }>

type Right = Omit<EmbeddedKafka.AccessRule, "principal">

interface Names {
  readonly id: string
  readonly input: string
  readonly output: string
}

interface Program {
  readonly name: string
  readonly rights: (names: Names) => ReadonlyArray<Right>
  readonly run: (names: Names) => Effect.Effect<unknown, unknown, KafkaDriver>
}

const producerRights = ({ id, output }: Names): ReadonlyArray<Right> => [
  { operation: "Write", resourceType: "transactionalId", resource: id, pattern: "prefixed" },
  { operation: "Write", resourceType: "topic", resource: output }
]

const programs: ReadonlyArray<Program> = [
  {
    name: "a transactional producer",
    rights: producerRights,
    run: ({ id, output }) =>
      Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({ transactionalId: id, ...timeouts })
        yield* send(output, "done").pipe(producer.withTransaction())
      }).pipe(Effect.scoped)
  },
  {
    name: "a transactional producer with lanes",
    rights: producerRights,
    run: ({ id, output }) =>
      Effect.gen(function*() {
        const options = { transactionalId: id, lanes: 2, ...timeouts }
        const producer = yield* TransactionalProducer.make(options)
        // Both lanes; what the second one writes is taken back, so that there is one record.
        yield* send(output, "done").pipe(producer.withTransaction())
        yield* send(output, "aborted").pipe(
          Effect.andThen(Effect.fail("mine")),
          producer.withTransaction(),
          Effect.catchIf((error) => error === "mine", () => Effect.void)
        )
      }).pipe(Effect.scoped)
  },
  {
    name: "an outbox relay",
    rights: (names) => [
      ...producerRights(names),
      { operation: "Read", resourceType: "group", resource: `${names.id}-cursor` },
      { operation: "Read", resourceType: "topic", resource: names.output }
    ],
    run: ({ id, output }) =>
      Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({ transactionalId: id, ...timeouts })
        const cursor = yield* Cursor.make({ producer, topic: output })
        yield* cursor.advance(() => Effect.as(send(output, "done"), 1n))
      }).pipe(Effect.scoped)
  },
  {
    name: "a pipeline",
    rights: (names) => [
      ...producerRights(names),
      { operation: "Read", resourceType: "topic", resource: names.input },
      { operation: "Read", resourceType: "group", resource: names.id }
    ],
    run: ({ id, input, output }) =>
      Effect.gen(function*() {
        const committed = yield* Deferred.make<void>()
        const scope = yield* Effect.scope
        const { failed } = yield* ExactlyOnce.make({
          groupId: id,
          transactionalIdPrefix: id,
          input: Topic.make({ name: input, key: Topic.text, value: Topic.text }),
          outputs: [{ name: output }],
          process: () =>
            Effect.gen(function*() {
              const { outcome } = yield* Transaction.Transaction
              yield* send(output, "done")
              yield* Effect.flatMap(
                outcome,
                ({ _tag }) =>
                  _tag === "Committed" ? Deferred.succeed(committed, undefined) : Effect.void
              ).pipe(
                Effect.forkIn(scope)
              )
            })
        })
        yield* Effect.raceFirst(failed, Deferred.await(committed))
      }).pipe(Effect.scoped, Effect.timeout("30 seconds"))
  }
]

const principal = "User:app"

/**
 * The reason of a failure; that of offsets which were refused when the body had ended is named by
 * the refusal to commit.
 */
const refusalOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const reason = reasonOf(exit)
  const error = Option.getOrNull(Exit.findErrorOption(exit))
  return reason === "TransactionTainted" &&
      /not (allowed|authori[sz]ed)|may not/i.test(String(error))
    ? "NotAuthorized"
    : reason
}

const named = ({ operation, resourceType }: Right) => `${operation} on its ${resourceType}`

/** Topics of a program of its own, with one record in the input. */
const makeNames = (admin: Layer.Layer<KafkaDriver, { readonly message: string }>) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const id = `rights-${randomUUID().slice(0, 8)}`
    const names = { id, input: `${id}-input`, output: `${id}-output` }
    yield* kafka.createTopic(names.input)
    yield* kafka.createTopic(names.output)
    yield* Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make({ transactionalId: `admin-${id}` })
      yield* send(names.input, "in").pipe(producer.withTransaction())
    }).pipe(Effect.scoped, Effect.provide(admin))
    return names
  })

/** What the Java client sees; it does not come to an end while a transaction is open. */
const readDone = (topic: string) =>
  Effect.flatMap(EmbeddedKafka.EmbeddedKafka, (kafka) =>
    CommittedRecords.read({
      ...kafka,
      topic,
      limit: "20 seconds",
      properties: {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required " +
          `username="admin" password="${kafka.users["admin"]}";`
      }
    }))

/**
 * Runs each program with all of its rights, and with all but one.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driverAs: DriverAs): void => {
  layer(EmbeddedKafka.layer({ listeners: "sasl", authorizer: true }), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`rights, over ${name}`, (it) => {
    it.effect.each([...programs])(
      "$name needs what the document says, and no more",
      (program) =>
        Effect.gen(function*() {
          const kafka = yield* EmbeddedKafka.EmbeddedKafka
          const as = (user: string) =>
            driverAs(kafka.bootstrapServers, user, kafka.users[user] ?? "")
          const names = yield* makeNames(as("admin"))
          const rights = program.rights(names).map((right) => ({ ...right, principal }))
          const run = Effect.provide(program.run(names), as("app"))
          for (const right of rights) yield* kafka.addAccessRule(right)
          for (const right of rights) {
            yield* kafka.removeAccessRule(right)
            const exit = yield* Effect.exit(run)
            assert.strictEqual(refusalOf(exit), "NotAuthorized", `without ${named(right)}`)
            assert.deepStrictEqual(yield* readDone(names.output), [], `without ${named(right)}`)
            yield* kafka.addAccessRule(right)
          }
          yield* run
          assert.lengthOf(yield* readDone(names.output), 1)
        }),
      120_000
    )
  })
}
