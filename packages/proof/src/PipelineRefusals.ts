/**
 * Bad input of a pipeline, over every driver on a real broker: settings that cannot be, topics that
 * do not exist, rights that are missing, a `process` that never ends. Each is one typed error that
 * names the thing and says what to do, in bounded time; nothing is committed or left open.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import type { ExactlyOnceOptions } from "@kafka-once/core/ExactlyOnceOptions"
import { isKafkaError, type KafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as ConsumerBench from "./ConsumerBench.ts"
import { type Bench, copy, Refused, type Text, withBench } from "./CopyBench.ts"
import * as Steps from "./DriverSteps.ts"
import * as LogReader from "./LogReader.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = ConsumerBench.It

type Changes = Partial<
  ExactlyOnceOptions<Text, Text, KafkaError | Refused, Transaction.Transaction>
>

interface Refusal {
  readonly name: string
  readonly changes?: (bench: Bench) => Changes
  readonly reason: KafkaError["reason"]["_tag"]
  /** What the message has to hold. */
  readonly names: (bench: Bench) => ReadonlyArray<string>
}

// Far above what any of them takes, so that only what is unbounded meets it.
const bound = "25 seconds"

/** How long a topic that does not exist may be one that is only new. */
const quick = {
  consumer: { requestTimeout: "2 seconds" },
  producer: { requestTimeout: "1 second", deliveryTimeout: "2 seconds" }
} as const

/** Of these three fit into the bound. */
const shortTransactions = {
  ...quick.producer,
  transactionTimeout: "3 seconds",
  drainTimeout: "1 second",
  commitTimeout: "1 second",
  abortTimeout: "1 second"
} as const

const misspelt = ({ output }: Bench): string => `${output}-s`

const sendTo = (topic: string) => () => Transaction.send([{ topic, value: "done" }])

const refusals: ReadonlyArray<Refusal> = [
  {
    name: "no group id",
    changes: () => ({ groupId: "" }),
    reason: "Misconfigured",
    names: () => ["groupId"]
  },
  {
    name: "an input that is also named as an output",
    changes: ({ input }) => ({ outputs: [{ name: input }] }),
    reason: "Misconfigured",
    names: ({ input }) => ["outputs", input, "is also an input"]
  },
  {
    name: "an input that process sends to",
    changes: ({ input }) => ({ process: sendTo(input) }),
    reason: "Misconfigured",
    names: ({ input }) => [input, "is also an output"]
  },
  {
    name: "an input that is also the dead-letter topic",
    changes: ({ input }) => ({ deadLetterTopic: input }),
    reason: "Misconfigured",
    names: ({ input }) => ["deadLetterTopic", input]
  },
  {
    name: "a batch that may gather for longer than a transaction may take",
    changes: () => ({ batch: { within: "2 seconds" }, producer: shortTransactions }),
    reason: "Misconfigured",
    names: () => ["batch.within", "2 seconds", "transactionTimeout"]
  },
  {
    name: "an input that does not exist",
    changes: (bench) => ({
      input: Topic.make({ name: misspelt(bench), key: Topic.text, value: Topic.text })
    }),
    reason: "UnknownTopic",
    names: (bench) => [misspelt(bench), "Create it first"]
  },
  {
    name: "a named output that does not exist",
    changes: (bench) => ({ outputs: [{ name: misspelt(bench) }] }),
    reason: "UnknownTopic",
    names: (bench) => [misspelt(bench), "Create it first"]
  },
  {
    name: "an output that does not exist, which process sends to",
    changes: (bench) => ({ process: sendTo(misspelt(bench)), deadLetterTopic: bench.dead }),
    reason: "UnknownTopic",
    names: (bench) => [misspelt(bench), "Create it first"]
  },
  {
    name: "a dead-letter topic that does not exist",
    changes: (bench) => ({ deadLetterTopic: misspelt(bench) }),
    reason: "UnknownTopic",
    names: (bench) => [misspelt(bench), "Create it first"]
  },
  {
    name: "a process that never ends",
    changes: ({ dead }) => ({
      process: () => Effect.never,
      deadLetterTopic: dead,
      producer: shortTransactions
    }),
    reason: "TransactionTimedOut",
    names: ({ groupId }) => [groupId, "Make the batch smaller or raise transactionTimeout"]
  }
]

type Denied = Omit<EmbeddedKafka.AccessRule, "principal" | "permission">

interface Denial extends Omit<Refusal, "reason"> {
  readonly denied: (bench: Bench) => Denied
}

const ofTopic = (operation: string, topic: (bench: Bench) => string) => (bench: Bench): Denied => ({
  operation,
  resourceType: "topic",
  resource: topic(bench)
})

const ofGroup = (operation: string) => ({ groupId }: Bench): Denied => ({
  operation,
  resourceType: "group",
  resource: groupId
})

const ofId = (operation: string) => ({ groupId }: Bench): Denied => ({
  operation,
  resourceType: "transactionalId",
  resource: `kafka-once.${groupId}`,
  pattern: "prefixed"
})

const poison = ({ dead }: Bench): Changes => ({
  deadLetterTopic: dead,
  retry: Schedule.recurs(0),
  process: ({ records }) => Effect.fail(new Refused({ value: String(records[0]?.value) }))
})

const namesGroup = ({ groupId }: Bench) => [`group "${groupId}"`, "Grant"]
const namesId = ({ groupId }: Bench) => [`transactional id "kafka-once.${groupId}.`, "Grant"]
const namesTopic = (topic: (bench: Bench) => string) => (bench: Bench) => [
  `topic "${topic(bench)}"`,
  "Grant"
]
const input = ({ input }: Bench) => input
const output = ({ output }: Bench) => output
const dead = ({ dead }: Bench) => dead
const named = (bench: Bench): Changes => ({ outputs: [{ name: output(bench) }] })

const denials: ReadonlyArray<Denial> = [
  { name: "Read on its group", denied: ofGroup("Read"), names: namesGroup },
  { name: "any right on its group", denied: ofGroup("All"), names: namesGroup },
  { name: "Write on its transactional ids", denied: ofId("Write"), names: namesId },
  { name: "Describe on its transactional ids", denied: ofId("Describe"), names: namesId },
  { name: "Read on its input", denied: ofTopic("Read", input), names: namesTopic(input) },
  { name: "any right on its input", denied: ofTopic("All", input), names: namesTopic(input) },
  {
    name: "Write on an output that it names",
    changes: named,
    denied: ofTopic("Write", output),
    names: namesTopic(output)
  },
  {
    name: "any right on an output that it names",
    changes: named,
    denied: ofTopic("All", output),
    names: namesTopic(output)
  },
  {
    name: "Write on an output that process sends to",
    denied: ofTopic("Write", output),
    names: namesTopic(output)
  },
  {
    name: "Write on its dead-letter topic",
    changes: poison,
    denied: ofTopic("Write", dead),
    names: namesTopic(dead)
  }
]

/**
 * Runs the suite over a driver, on brokers of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  layer(ConsumerBench.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `bad input of a pipeline, over ${name}`,
    (it) => {
      it.effect.each([...refusals])(
        "$name: named, and nothing is committed",
        (refusal) => withRecords(driver, (bench) => refused(driver, bench, refusal)),
        60_000
      )
      interrupted(it, driver)
      strangers(it, driver)
    }
  )
}

/**
 * Runs the suite of the rights that a pipeline lacks, each one that it needs by itself.
 *
 * @category testing
 * @since 0.1.0
 */
export const rights = (name: string, driver: DriverAt): void => {
  layer(ProxiedKafka.layer({ authorizer: true }), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`a pipeline without a right, over ${name}`, (it) => {
    it.effect.each([...denials])(
      "without $name: named, and nothing is committed",
      (denial) =>
        Effect.gen(function*() {
          const kafka = yield* EmbeddedKafka.EmbeddedKafka
          for (const rule of everything) yield* kafka.addAccessRule(rule)
          yield* withRecords(driver, (bench) =>
            Effect.gen(function*() {
              const rule = { ...denial.denied(bench), principal, permission: "deny" } as const
              yield* kafka.addAccessRule(rule)
              yield* refused(
                driver,
                bench,
                { ...denial, reason: "NotAuthorized" },
                kafka.removeAccessRule(rule)
              )
            }))
        }),
      60_000
    )
  })
}

// Without a login every client is this one.
const principal = "User:ANONYMOUS"

const everything = (["topic", "group", "transactionalId"] as const).map((resourceType) => ({
  principal,
  operation: "All",
  resourceType,
  resource: "*"
}))

const withRecords = <E>(
  driver: DriverAt,
  test: (bench: Bench) => Effect.Effect<void, E, Scope.Scope>
) =>
  withBench(
    { driver, groupProtocol: "classic" },
    (bench) => Effect.andThen(bench.write(5), Effect.scoped(test(bench)))
  )

/**
 * Runs a pipeline on a connection of its own until it fails, and holds the failure, and what is
 * left of it when it has ended, against what was expected.
 */
const refused = <E>(
  driver: DriverAt,
  bench: Bench,
  { changes, names, reason }: Refusal,
  restore: Effect.Effect<void, E> = Effect.void
) =>
  Effect.gen(function*() {
    const error = yield* bench.start({ ...quick, ...changes?.(bench) }).pipe(
      Effect.flatMap(({ failed }) => failed),
      Effect.scoped,
      Effect.provide(driver(bench.proxy.addresses)),
      Effect.timeout(bound),
      Effect.flip
    )
    assert(isKafkaError(error), String(error))
    assert.strictEqual(error.reason._tag, reason, error.message)
    for (const text of names(bench)) assert.include(error.message, text)
    yield* restore
    yield* assertNothing(bench)
  })

const assertNothing = (bench: Bench) =>
  Effect.gen(function*() {
    const { dead, groupId, kafka, output, proxy, visible } = bench
    yield* Effect.timeout(proxy.connections.awaitOpen(0), "10 seconds")
    assert.deepStrictEqual(yield* visible(output), [])
    assert.deepStrictEqual(yield* visible(dead), [])
    assert.deepStrictEqual(yield* LogReader.committedOffsets(kafka, groupId), [])
    assert.deepStrictEqual(yield* LogReader.openTransactions(kafka, `kafka-once.${groupId}`), [])
  })

const interrupted = (it: It, driver: DriverAt): void => {
  it.effect(
    "an interruption ends a process that never does, within drainTimeout",
    () =>
      withRecords(driver, (bench) =>
        Effect.gen(function*() {
          const entered = yield* Deferred.make<void>()
          const running = yield* bench.start({
            drainTimeout: "1 second",
            process: (batch) =>
              copy(batch).pipe(
                Effect.andThen(Deferred.succeed(entered, undefined)),
                Effect.andThen(Effect.never)
              )
          }).pipe(
            Effect.flatMap(({ failed }) => failed),
            Effect.scoped,
            Effect.provide(driver(bench.proxy.addresses)),
            Effect.forkChild
          )
          yield* Deferred.await(entered)
          yield* Effect.timeout(Fiber.interrupt(running), "8 seconds")
          yield* assertNothing(bench)
        })),
    60_000
  )
}

/** Takes the transactional ids that a pipeline has on any driver, as a second program would. */
const takeIds = ({ direct, groupId, input }: Bench) =>
  Effect.forEach(
    [`${input}.0`, `${instanceId}.0`],
    (rest) => Effect.scoped(Steps.open(`kafka-once.${groupId}.${rest}`))
  ).pipe(
    Effect.provide(direct)
  )

const instanceId = "named"

const strangers = (it: It, driver: DriverAt): void => {
  it.effect(
    "a stranger that goes on using its transactional ids is named, and nothing is lost",
    () =>
      withRecords(driver, (bench) =>
        Effect.gen(function*() {
          const { failed } = yield* bench.start({ instanceId })
          yield* bench.awaitDone
          const fencing = Effect.forever(
            Effect.andThen(takeIds(bench), Effect.andThen(bench.write(1), bench.awaitDone))
          )
          const error = yield* Effect.flip(
            Effect.timeout(Effect.raceFirst(failed, fencing), "40 seconds")
          )
          assert(isKafkaError(error), String(error))
          assert.strictEqual(error.reason._tag, "ProducerFenced", error.message)
          assert.include(error.message, `kafka-once.${bench.groupId}.`)
          assert.include(error.message, "Stop one of the two, or give each an id of its own")
          yield* bench.start({ instanceId: "next" })
          yield* bench.awaitDone
          yield* bench.assertCopied
        }).pipe(Effect.provide(driver(bench.proxy.addresses)))),
    90_000
  )
}
