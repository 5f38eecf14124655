/**
 * A program that runs one transaction after the other, aborts every tenth, goes on after every
 * failure, and writes down what it was told.
 */
import { type KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import type { TransactionalProducer } from "@kafka-once/core/TransactionalProducer"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

export interface Attempt {
  readonly values: ReadonlyArray<string>
  readonly beganMillis: number
  readonly endedMillis: number
  /** `error` is the library's, or the word of the program where it aborted by itself. */
  readonly result:
    | { readonly _tag: "Committed" }
    | { readonly _tag: "Failed"; readonly error: KafkaError | "mine" }
}

export interface SteadyWriter {
  /** Waits for so many commits of transactions that begin after now; they are given in order. */
  readonly awaitCommits: (count: number) => Effect.Effect<ReadonlyArray<Attempt>>
  /** Lets the last transaction end, and gives them all. */
  readonly stop: Effect.Effect<ReadonlyArray<Attempt>>
}

/** So that an answer that comes at once does not become a busy loop. */
const pauseAfterFailure = "20 millis"

/** Runs until it is stopped, or the scope closes. All its values begin with its name. */
export const start = Effect.fnUntraced(
  function*(producer: TransactionalProducer["Service"], topic: string, name: string) {
    const attempts: Array<Attempt> = []
    const watchers = new Set<() => void>()
    let stopping = false

    const once = Effect.gen(function*() {
      const index = attempts.length
      const values = [0, 1, 2].map((part) => `${name}-${index}-${part}`)
      const beganMillis = yield* Clock.currentTimeMillis
      // Three sends, so that a transaction can be torn.
      const body = Effect.forEach(values, (value) => Transaction.send([{ topic, value }])).pipe(
        Effect.andThen(index % 10 === 7 ? Effect.fail("mine" as const) : Effect.void)
      )
      const exit = yield* Effect.exit(producer.withTransaction()(body))
      const endedMillis = yield* Clock.currentTimeMillis
      const error = Exit.findErrorOption(exit)
      const result = Option.isSome(error)
        ? { _tag: "Failed", error: error.value } as const
        : { _tag: "Committed" } as const
      attempts.push({ values, beganMillis, endedMillis, result })
      for (const watcher of watchers) watcher()
      if (result._tag === "Failed") yield* Effect.sleep(pauseAfterFailure)
    })
    const fiber = yield* Effect.forkScoped(Effect.repeat(once, { while: () => !stopping }))

    const awaitCommits = (count: number) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) =>
          Effect.callback<ReadonlyArray<Attempt>>((resume) => {
            const look = () => {
              const commits = attempts.filter(({ beganMillis, result }) =>
                result._tag === "Committed" && beganMillis > now
              )
              if (commits.length < count) return
              watchers.delete(look)
              resume(Effect.succeed(commits.slice(0, count)))
            }
            watchers.add(look)
            look()
            return Effect.sync(() => watchers.delete(look))
          })
      )

    return {
      awaitCommits,
      stop: Effect.suspend(() => {
        stopping = true
        return Effect.as(Fiber.join(fiber), attempts)
      })
    } satisfies SteadyWriter
  }
)
