/**
 * A program that runs a recorded pipeline and tells on standard output what it has come to. At the
 * step that it is told it freezes itself, or blocks its event loop, so that a signal meets it just
 * there, and not a moment later.
 *
 * @since 0.1.0
 */
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as PipelineHistory from "./PipelineHistory.ts"
import type { DriverAt } from "./ProducerBench.ts"

/**
 * The steps that a program can stop at, the first time that it comes to it.
 *
 * **Details**
 *
 * - *Shape*: `assigned`: it owns a partition, and is about to ask where to begin. `polled`:
 *   `process` has its first records. `sent`: what `process` sends is acknowledged. `offsets`: so
 *   are the positions. `committed`: EndTxn is, and the library does not know it yet. `again`:
 *   `process` has records of a partition for the second time.
 *
 * @category models
 * @since 0.1.0
 */
export const Step = Schema.Literals([
  "assigned",
  "polled",
  "sent",
  "offsets",
  "committed",
  "again"
])

/**
 * One of {@link Step}.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = typeof Step.Type

/**
 * What a program does.
 *
 * **Details**
 *
 * - *Shape*: `instanceId` names it among the processes of its group, and `process` in the history,
 *   where each start has a number of its own. At `stopAt` it freezes, or blocks for `blockMillis`
 *   where that is above 0. One that `isPatient` waits there instead, for longer than any test, and
 *   aborts at a second signal.
 *
 * @category models
 * @since 0.1.0
 */
export const Plan = Schema.Struct({
  addresses: Schema.Array(Schema.String),
  groupId: Schema.String,
  groupProtocol: Schema.Literals(["classic", "consumer"]),
  input: Schema.String,
  output: Schema.String,
  instanceId: Schema.String,
  file: Schema.String,
  run: Schema.Int,
  process: Schema.Int,
  stopAt: Schema.NullOr(Step),
  blockMillis: Schema.Int,
  isPatient: Schema.Boolean
})

/**
 * One of {@link Plan}.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = typeof Plan.Type

/**
 * Timeouts as short as they fit together: of a member that is gone the group waits 6 seconds, after
 * the 5 of its transaction.
 *
 * @category models
 * @since 0.1.0
 */
export const timeouts = {
  consumer: {
    sessionTimeout: "6 seconds",
    heartbeatInterval: "500 millis",
    rebalanceTimeout: "10 seconds"
  },
  producer: {
    transactionTimeout: "5 seconds",
    requestTimeout: "1 second",
    deliveryTimeout: "2 seconds",
    drainTimeout: "2 seconds",
    commitTimeout: "2 seconds",
    abortTimeout: "2 seconds",
    resolveTimeout: "5 seconds"
  }
} as const

/**
 * The times of {@link timeouts} for a member: in the consumer protocol heartbeats are the broker's,
 * and so is the session, for which `ConsumerBench.consumerProtocolTimes` has the same 6 seconds.
 *
 * @category models
 * @since 0.1.0
 */
export const memberOf = (groupProtocol: GroupProtocolName) => {
  const { heartbeatInterval, ...times } = timeouts.consumer
  return groupProtocol === "classic"
    ? { ...times, heartbeatInterval }
    : { ...times, groupProtocol }
}

/**
 * The program, from the plan that is its first argument as JSON; it runs until it is interrupted.
 *
 * **Details**
 *
 * Each line of its output is `@` and one of: `started`, from when it ends in order if it is asked
 * to; `placed` with a partition that it begins to read; `process` with a partition, for each call;
 * `outcome` with the number of a call and what became of it; the tag of an event of the group; a
 * step with the partition and, for `polled` and `sent`, the number of the call; `failed` with why
 * it ended.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (driverAt: DriverAt): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    const plan = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Plan))(process.argv[2])
    // Only when the program has let go once is it listening for signals.
    yield* Effect.yieldNow
    tell("started")
    return yield* pipeline(plan).pipe(
      Effect.provide(Layer.provide(watched(plan), driverAt(plan.addresses)))
    )
  }).pipe(
    Effect.scoped,
    Effect.tapError((error) => Effect.sync(() => tell(`failed ${String(error)}`))),
    // What the library warns of is what the test does to it.
    Effect.provide(Logger.layer([]))
  )

/** A pipe is written to before this returns, so that the line is out when the process freezes. */
const tell = (text: string): void => {
  process.stdout.write(`@${text}\n`)
}

const stopped = new Set<Step>()

const reach = (plan: Plan, step: Step, what: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (plan.stopAt !== step || stopped.has(step)) return Effect.void
    stopped.add(step)
    tell(`${step} ${what}`)
    if (plan.isPatient) return Effect.never
    if (plan.blockMillis === 0) {
      process.kill(process.pid, "SIGSTOP")
      return Effect.void
    }
    const until = performance.now() + plan.blockMillis
    while (performance.now() < until);
    tell("unblocked")
    return Effect.void
  })

const patientMember = {
  sessionTimeout: "50 seconds",
  rebalanceTimeout: "50 seconds"
} as const

const patience = {
  producer: { ...timeouts.producer, transactionTimeout: "45 seconds" },
  drainTimeout: "40 seconds",
  // It is run when the drain begins, at the first signal.
  abortNow: Effect.callback<void>((resume) => {
    tell("draining")
    const hear = () => resume(Effect.void)
    process.once("SIGTERM", hear)
    return Effect.sync(() => process.off("SIGTERM", hear))
  })
} as const

const pipeline = (plan: Plan) =>
  Effect.gen(function*() {
    const seen = new Set<number>()
    const { failed } = yield* PipelineHistory.make({
      ...plan,
      settings: {
        ...(plan.isPatient ? patience : timeouts),
        consumer: {
          ...memberOf(plan.groupProtocol),
          ...(plan.isPatient ? patientMember : {})
        },
        instanceId: plan.instanceId,
        batch: { records: 20 }
      },
      polled: ({ number, partition }) =>
        Effect.suspend(() => {
          tell(`process ${partition}`)
          const step = seen.has(partition) ? "again" : "polled"
          seen.add(partition)
          return reach(plan, step, `${partition} ${number}`)
        }),
      sent: ({ number, partition }) => reach(plan, "sent", `${partition} ${number}`),
      told: ({ number }, outcome) => tell(`outcome ${number} ${outcome}`),
      heard: ({ _tag }) => tell(_tag)
    })
    return yield* failed
  })

/** A driver that tells of the steps which only it can see. */
const watched = (plan: Plan): Layer.Layer<KafkaDriver, never, KafkaDriver> =>
  Layer.effect(
    KafkaDriver,
    KafkaDriver.useSync((driver) =>
      KafkaDriver.of({
        ...driver,
        committedOffsets: (groupId, partitions) =>
          Effect.suspend(() => {
            const of = partitions.map(({ partition }) => partition)
            for (const partition of of) tell(`placed ${partition}`)
            return Effect.andThen(
              reach(plan, "assigned", of.join(" ")),
              driver.committedOffsets(groupId, partitions)
            )
          }),
        openSession: (options) =>
          Effect.map(driver.openSession(options), (session) => {
            // Before its first records a session may end transactions in which nothing was sent.
            let last = ""
            return {
              ...session,
              sendOffsets: (offsets) =>
                Effect.tap(session.sendOffsets(offsets), () => {
                  last = offsets.positions.map(({ partition }) => partition).join(" ")
                  return reach(plan, "offsets", last)
                }),
              end: (end) =>
                Effect.tap(
                  session.end(end),
                  () =>
                    end === "commit" && last !== ""
                      ? reach(plan, "committed", last)
                      : Effect.void
                )
            }
          })
      })
    )
  )
