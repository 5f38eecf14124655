/**
 * A process that squares numbers: one member of a group of as many as there are.
 */
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TeamMember from "../teamMember.ts"

/** What a worker is to do. */
export interface Job {
  readonly brokers: ReadonlyArray<string>
  /** The same after a restart, as the name of a pod in a StatefulSet is. */
  readonly name: string
}

/** What a worker tells: how many partitions it has, and how many records it has committed. */
export type Report =
  | { readonly _tag: "Owns"; readonly partitions: number }
  | { readonly _tag: "Committed"; readonly records: number }

const report = (message: Report) => TeamMember.report(message)

const input = Topic.make({ name: "numbers", key: Topic.text, value: Topic.json(Schema.Int) })

const square = ExactlyOnce.eachRecord<string | null, number, never, never>(({ key, value }) =>
  Effect.succeed([{ topic: "squares", key, value: `${value} ${value * value}` }])
)

const work = ({ brokers, name }: Job) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const { events, failed, positions } = yield* ExactlyOnce.make({
      groupId: "squares",
      instanceId: name,
      input,
      outputs: [{ name: "squares" }],
      process: (batch) =>
        Effect.gen(function*() {
          const { outcome } = yield* Transaction.Transaction
          yield* square(batch)
          yield* outcome.pipe(
            Effect.flatMap(({ _tag }) =>
              _tag === "Committed"
                ? report({ _tag, records: batch.records.length })
                : Effect.void
            ),
            Effect.forkIn(scope)
          )
        }),
      // Short, so that the partitions of a dead worker move while one watches.
      consumer: { sessionTimeout: "6 seconds", heartbeatInterval: "1 second" },
      producer: { transactionTimeout: "5 seconds", commitTimeout: "3 seconds" }
    })
    yield* events.pipe(
      Stream.runForEach(() =>
        Effect.flatMap(
          positions,
          ({ length }) => report({ _tag: "Owns", partitions: length })
        )
      ),
      Effect.forkScoped({ startImmediately: true })
    )
    return yield* failed
  }).pipe(Effect.scoped, Effect.provide(Platformatic.layer({ brokers, clientId: name })))

TeamMember.run(work)
