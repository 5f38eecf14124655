/**
 * A fault, a program that meets it, and what became of its records: run on a raw client and on this
 * library, it shows what the one loses and the other keeps.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import type { FaultProxy } from "@kafka-once/testing/FaultProxy"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as Account from "./Account.ts"
import { type Contender, Problem, type Producer, type Send } from "./Contender.ts"
import * as LogReader from "./LogReader.ts"
import type { LogReaderError } from "./LogReaderError.ts"
import type * as PartitionLog from "./PartitionLog.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * How a run ended.
 *
 * **Details**
 *
 * *Shape*: `what` says in words what was lost, doubled, torn or stuck; where the run holds, what is
 * visible. It is worked out from the log and the wire, never written down before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verdict {
  readonly holds: boolean
  readonly what: string
}

/**
 * A scenario.
 *
 * **Details**
 *
 * *Shape*: `run` fails when the fault did not happen, for then it has shown nothing. `on` is the
 * broker that it runs on: {@link layer}, or {@link layerWithUsers}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scenario {
  readonly id: string
  readonly title: string
  readonly on: "everybody" | "users"
  readonly run: (contender: Contender) => Effect.Effect<Verdict, unknown, Needs>
}

/**
 * What scenarios run on.
 *
 * @category models
 * @since 0.1.0
 */
export type Needs = EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy

/**
 * The broker of the scenarios and its proxy. Everybody may do everything for which there is no
 * rule.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (broker: EmbeddedKafka.Options = {}) =>
  ProxiedKafka.layer({
    ...broker,
    authorizer: true,
    properties: { "allow.everyone.if.no.acl.found": "true" }
  })

/**
 * A broker that knows users, each of whom may do what there is a rule for, and its proxy.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWithUsers = (broker: EmbeddedKafka.Options = {}) =>
  ProxiedKafka.layer({ ...broker, listeners: "sasl", authorizer: true })

/**
 * The place of one run: a topic and a transactional id of its own, and the book of what the program
 * was told.
 *
 * **Details**
 *
 * *Shape*
 * - `producer`: a producer of the contender on that id, behind the proxy.
 * - `transaction`: runs one of its transactions and writes down what was sent and told. A
 *   transaction must commit unless `mayFail` is set.
 * - `log`: partition 0 as it is now; `settledLog` waits until nothing is open in it.
 * - `verdict`: the anomalies in that log, and those that the scenario has found by itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stage {
  readonly topic: string
  readonly transactionalId: string
  readonly proxy: FaultProxy
  readonly producer: Effect.Effect<Producer, Problem, Scope.Scope>
  readonly transaction: (
    producer: Producer,
    body: Body,
    options?: { readonly mayFail?: boolean }
  ) => Effect.Effect<void>
  readonly log: Effect.Effect<PartitionLog.PartitionLog, LogReaderError>
  readonly settledLog: Effect.Effect<PartitionLog.PartitionLog, LogReaderError>
  readonly verdict: (
    log: PartitionLog.PartitionLog,
    found?: ReadonlyArray<string>
  ) => Verdict
}

/**
 * What a program does in a transaction.
 *
 * @category models
 * @since 0.1.0
 */
export type Body = (
  send: (...values: ReadonlyArray<string>) => Effect.Effect<void, Problem>
) => Effect.Effect<unknown, Problem>

/**
 * Makes a scenario of a program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E>(
  id: string,
  title: string,
  program: (stage: Stage) => Effect.Effect<Verdict, E, Needs>
): Scenario => ({
  id,
  title,
  on: "everybody",
  run: (contender) => Effect.flatMap(makeStage(contender), program)
})

const makeStage = Effect.fnUntraced(function*(contender: Contender) {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const proxy = yield* ProxiedKafka.Proxy
  const unique = randomUUID().slice(0, 8)
  const topic = `topic-${unique}`
  const transactionalId = `id-${unique}`
  yield* kafka.createTopic(topic)
  const transactions: Array<Account.Transaction> = []
  const stage: Stage = {
    topic,
    transactionalId,
    proxy,
    producer: contender.producer({ brokers: [`${proxy.host}:${proxy.port}`], transactionalId }),
    transaction: (producer, body, options) =>
      Effect.gen(function*() {
        const sent: Array<Account.Transaction["sent"][number]> = []
        const told = yield* producer.transaction((send) => body(writeDown(send, topic, sent)))
        transactions.push({ mustCommit: options?.mayFail !== true, sent, told })
      }),
    log: Effect.flatMap(LogReader.read(kafka, topic), first),
    settledLog: Effect.flatMap(LogReader.readSettled(kafka, topic), first),
    verdict: (log, found = []) => {
      const wrong = [...Account.anomalies(transactions, log), ...found]
      return wrong.length === 0
        ? { holds: true, what: Account.summary(transactions, log) }
        : { holds: false, what: wrong.join("; ") }
    }
  }
  return stage
})

/** The topics of scenarios have one partition. */
const first = ([log]: ReadonlyArray<PartitionLog.PartitionLog>) =>
  log === undefined ? Effect.die(new Error("a topic without partitions")) : Effect.succeed(log)

const writeDown = (
  send: Send,
  topic: string,
  sent: Array<Account.Transaction["sent"][number]>
) =>
(...values: ReadonlyArray<string>) =>
  Effect.suspend(() => {
    // A send that is never acknowledged may be in the log all the same.
    const from = sent.length
    sent.push(...values.map((value) => ({ value, offset: null })))
    return Effect.map(send(topic, values), (offsets) => {
      values.forEach((value, index) => {
        sent[from + index] = { value, offset: offsets[index] ?? null }
      })
    })
  })

/**
 * How a program ends a transaction that it does not want any more.
 *
 * @category constructors
 * @since 0.1.0
 */
export const giveUp: Effect.Effect<never, Problem> = Effect.fail(
  new Problem({ text: "the program gives up" })
)

/**
 * What went wrong on a scenario's stage, as a client's program would be told it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const problemOf = (error: { readonly message: string }): Problem =>
  new Problem({ text: error.message })
