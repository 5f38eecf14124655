/**
 * A member's looks at its topics. One that is deleted must end it: the group would go on without
 * the topic, and nobody would be told.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { DriverError, Failure } from "../../DriverError.ts"
import type { GroupProtocol, TopicLeaders } from "../../GroupProtocol.ts"
import { codeOf } from "./coordinator.ts"

export interface TopicWatch {
  /** Whether it is time for a look; the next one is then due after another few seconds. */
  readonly isDue: Effect.Effect<boolean>
  /**
   * The member's topics and others, or none where nobody answers. Fails when one of the member's
   * stays unknown.
   */
  readonly look: (
    others: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<TopicLeaders>, DriverError>
}

const unknownTopic = 3

const lookMillis = 5_000

/**
 * So many times in a row a topic may be unknown before it is taken for deleted: a broker that has
 * just started does not know it for a moment.
 */
const unknownMax = 3

export const make = Effect.fnUntraced(function*(
  protocol: GroupProtocol,
  topics: ReadonlyArray<string>
): Effect.fn.Return<TopicWatch> {
  let unknownTimes = 0
  let lookedAt = yield* Clock.currentTimeMillis
  return {
    isDue: Effect.map(Clock.currentTimeMillis, (now) => {
      if (now - lookedAt < lookMillis) return false
      lookedAt = now
      return true
    }),
    look: (others) =>
      Effect.flatMap(
        Effect.result(protocol.leaders([...new Set([...topics, ...others])])),
        (looked) => {
          if (looked._tag === "Failure") {
            // Who does not answer says nothing about topics.
            if (codeOf(looked.failure) !== unknownTopic) return Effect.succeed([])
            unknownTimes += 1
          } else {
            const isGone = looked.success.some(({ code, topic }) =>
              code === unknownTopic && topics.includes(topic)
            )
            unknownTimes = isGone ? unknownTimes + 1 : 0
          }
          if (unknownTimes >= unknownMax) return Effect.fail(topicGone)
          return Effect.succeed(looked._tag === "Success" ? looked.success : [])
        }
      )
  }
})

const topicGone = new DriverError({
  request: "Metadata",
  failure: Failure.Answered({ code: unknownTopic }),
  detail: "A topic of the consumer's is unknown"
})
