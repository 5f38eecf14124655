/**
 * One node of three fails, in every way and in every role, while a program runs transactions: it
 * goes on without that node, and nothing is lost, doubled, torn or left undecided.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import type { EmbeddedKafkaNode } from "@kafka-once/testing/EmbeddedKafkaNode"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import * as SteadyWriter from "./internal/steadyWriter.ts"
import * as ToldAndVisible from "./internal/toldAndVisible.ts"
import * as LogReader from "./LogReader.ts"
import type { DriverAt } from "./ProducerBench.ts"

/** So many at once, that the fault meets requests of every kind on their way. */
const writers = 4

/** Commits of each writer without the failed node: it is at work again, not only lucky once. */
const commitsWithout = 10

/**
 * From the fault to the first commit after it: two seconds until the node is missed, an election or
 * two, and what was under way has to be given up.
 */
const failoverMillisMax = 20_000

/** From the node's return to the first commit of a transaction that began after it. */
const recoveryMillisMax = 10_000

/** A release is bounded by 25 s, and its body by 7 s. */
const attemptMillisMax = 32_000

/**
 * Runs the suite over a driver, on a cluster of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  const cluster = EmbeddedKafka.layer({ nodes: 3, properties: { "log.retention.ms": "-1" } })
  layer(cluster, { timeout: "3 minutes", excludeTestServices: true })(
    `a node of three fails, over ${name}`,
    (it) => {
      it.effect.each(cases)(
        "without the $role, which is $how, transactions go on, and all are true",
        (one) => survives(driver, one),
        120_000
      )

      it.effect(
        "a rolling restart leaves no outcome unknown",
        () => rolls(driver),
        180_000
      )
    }
  )
}

interface Fault {
  readonly fault: (node: EmbeddedKafkaNode) => Effect.Effect<void, unknown>
  readonly heal: (node: EmbeddedKafkaNode) => Effect.Effect<void, unknown>
  readonly status: "stopped" | "frozen"
}

const faults = {
  killed: { fault: ({ kill }) => kill, heal: ({ start }) => start, status: "stopped" },
  frozen: { fault: ({ freeze }) => freeze, heal: ({ thaw }) => thaw, status: "frozen" },
  stopped: { fault: ({ stop }) => stop, heal: ({ start }) => start, status: "stopped" }
} as const satisfies Readonly<Record<string, Fault>>

const roles = ["leader of the data", "transaction coordinator", "plain follower"] as const

interface Case {
  readonly role: (typeof roles)[number]
  readonly how: keyof typeof faults
}

const cases: ReadonlyArray<Case> = roles.flatMap((role) =>
  (["killed", "frozen", "stopped"] as const).map((how) => ({ role, how }))
)

interface Bench {
  readonly topic: string
  readonly transactionalId: string
}

const makeBench = Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const id = randomUUID().slice(0, 8)
  const bench = { topic: `topic-${id}`, transactionalId: `id-${id}` }
  yield* kafka.createTopic(bench.topic)
  return bench
})

/** Who does what, looked up now. */
const lookUp = Effect.fnUntraced(function*({ topic, transactionalId }: Bench) {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const leader = yield* kafka.leaderOf(topic, 0)
  const coordinator = yield* kafka.transactionCoordinatorOf(transactionalId)
  const follower = kafka.nodes.find(({ id }) => id !== leader.id && id !== coordinator.id)
  return {
    "leader of the data": leader,
    "transaction coordinator": coordinator,
    "plain follower": follower,
    areApart: leader.id !== coordinator.id
  }
})

/** A topic and an id whose leader and coordinator are two nodes, so that the third is neither. */
const makeBenchApart = makeBench.pipe(
  Effect.repeat({
    until: (bench) => Effect.map(lookUp(bench), ({ areApart }) => areApart),
    times: 20
  })
)

const survives = (driver: DriverAt, one: Case) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const { fault, heal, status }: Fault = faults[one.how]
    const bench = yield* makeBenchApart
    yield* Effect.gen(function*() {
      const writing = yield* startWriting(bench)
      yield* timed(writing, "the first commits")
      const node = (yield* lookUp(bench))[one.role]
      assert(node !== undefined)
      yield* Effect.gen(function*() {
        yield* fault(node)
        const failover = yield* timed(writing, "commits without the node")
        assert.strictEqual(yield* node.status, status, "the fault was to last")
        yield* assertReplaced(bench, one, node)
        yield* heal(node)
        const recovery = yield* timed(writing, "commits after the heal")
        yield* kafka.awaitInSync
        const attempts = yield* stopWriting(writing)
        const figures = yield* assertTrue(bench, attempts)
        yield* Effect.log(
          `${one.role} ${one.how}: first commit ${failover} ms after the fault, ` +
            `${recovery} ms after the heal; ${figures}`
        )
        assert.isAtMost(failover, failoverMillisMax)
        assert.isAtMost(recovery, recoveryMillisMax)
      }).pipe(Effect.onError(() => Effect.ignore(heal(node), { log: "Warn" })))
    }).pipe(Effect.scoped, Effect.provide(driver(kafka.bootstrapServers)))
  })

type Writing = ReadonlyArray<SteadyWriter.SteadyWriter>

/** The first has the transactional id itself, and so the coordinator that is looked up. */
const startWriting = ({ topic, transactionalId }: Bench) =>
  Effect.forEach(
    Array.from({ length: writers }, (_, index) => index),
    (index) =>
      Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({
          transactionalId: index === 0 ? transactionalId : `${transactionalId}-${index}`
        })
        return yield* SteadyWriter.start(producer, topic, `writer-${index}`)
      })
  )

const stopWriting = (writing: Writing) =>
  Effect.map(
    Effect.forEach(writing, ({ stop }) => stop, { concurrency: "unbounded" }),
    (attempts) => attempts.flat()
  )

/** Milliseconds until each has committed what it began after now; and some more of it. */
const timed = Effect.fnUntraced(function*(writing: Writing, what: string) {
  const from = yield* Clock.currentTimeMillis
  const commits = yield* Effect.forEach(
    writing,
    ({ awaitCommits }) => awaitCommits(commitsWithout),
    { concurrency: "unbounded" }
  ).pipe(Effect.timeoutOrElse({
    duration: "60 seconds",
    orElse: () => Effect.die(new Error(`${what}: not within 60 s`))
  }))
  return Math.max(...commits.map(([first]) => (first?.endedMillis ?? Infinity) - from))
})

/** Another node does what the failed one did; so it was really missed. */
const assertReplaced = Effect.fnUntraced(
  function*(bench: Bench, { role }: Case, node: EmbeddedKafkaNode) {
    if (role === "plain follower") return
    assert.notStrictEqual((yield* lookUp(bench))[role]?.id, node.id)
  }
)

/**
 * Every transaction ended within its bound, and is as its program was told; what was unknown is
 * resolved first. Answers with what is worth telling.
 */
const assertTrue = Effect.fnUntraced(
  function*({ topic, transactionalId }: Bench, attempts: ReadonlyArray<SteadyWriter.Attempt>) {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const slowest = Math.max(
      ...attempts.map(({ beganMillis, endedMillis }) => endedMillis - beganMillis)
    )
    assert.isAtMost(slowest, attemptMillisMax)
    const written = yield* Effect.forEach(attempts, decided)
    const logs = yield* LogReader.readSettled(kafka, topic)
    assert.deepStrictEqual(ToldAndVisible.contradictions(written, logs), [])
    assert.deepStrictEqual(yield* LogReader.openTransactions(kafka, transactionalId), [])
    return `${attempts.length} transactions, of which ${told(attempts)}; ` +
      `the slowest took ${slowest} ms`
  }
)

const decided = Effect.fnUntraced(function*({ result, values }: SteadyWriter.Attempt) {
  if (result._tag === "Committed") return { values, told: "committed" } as const
  const { error } = result
  if (error === "mine" || error.reason._tag !== "CommitOutcomeUnknown") {
    return { values, told: "aborted" } as const
  }
  const outcome = yield* Transaction.resolve(error)
  assert.notStrictEqual(outcome._tag, "Unknown", `${values.join(", ")} could not be resolved`)
  return { values, told: outcome._tag === "Committed" ? "committed" : "aborted" } as const
})

const reasonOf = ({ result }: SteadyWriter.Attempt): string =>
  result._tag === "Committed"
    ? "committed"
    : result.error === "mine"
    ? "aborted by the program"
    : result.error.reason._tag

/** `120 committed, 13 aborted by the program, 2 TimedOut`. */
const told = (attempts: ReadonlyArray<SteadyWriter.Attempt>): string => {
  const counts = new Map<string, number>()
  for (const reason of attempts.map(reasonOf)) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  return [...counts].map(([reason, count]) => `${count} ${reason}`).join(", ")
}

const rolls = (driver: DriverAt) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const bench = yield* makeBench
    yield* Effect.gen(function*() {
      const writing = yield* startWriting(bench)
      yield* timed(writing, "the first commits")
      const from = yield* Clock.currentTimeMillis
      yield* kafka.rollingRestart
      const millis = (yield* Clock.currentTimeMillis) - from
      const recovery = yield* timed(writing, "commits after the restart")
      const attempts = yield* stopWriting(writing)
      const figures = yield* assertTrue(bench, attempts)
      const during = attempts.filter(({ beganMillis, endedMillis, result }) =>
        result._tag === "Committed" && beganMillis >= from && endedMillis <= from + millis
      )
      yield* Effect.log(`rolling restart in ${millis} ms: ${during.length} commits, ${figures}`)
      assert.notInclude(attempts.map(reasonOf), "CommitOutcomeUnknown")
      assert.isAbove(during.length, commitsWithout * writers)
      assert.isAtMost(longestGap(during), recoveryMillisMax)
      assert.isAtMost(recovery, recoveryMillisMax)
    }).pipe(Effect.scoped, Effect.provide(driver(kafka.bootstrapServers)))
  })

const longestGap = (commits: ReadonlyArray<SteadyWriter.Attempt>): number =>
  Math.max(
    0,
    ...commits.slice(1).map(({ endedMillis }, index) =>
      endedMillis - (commits[index]?.endedMillis ?? endedMillis)
    )
  )
