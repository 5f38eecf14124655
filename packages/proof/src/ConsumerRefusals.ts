/**
 * Codes of the broker that nobody knows, as a consumer of a driver tells them.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import type { ConsumerSession } from "@kafka-once/core/ConsumerDriver"
import type { GroupMembership } from "@kafka-once/core/GroupOffsets"
import { type DriverError, KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Bench, first, type It, type Subject, withTopic } from "./ConsumerBench.ts"
import * as Consumer from "./ConsumerSteps.ts"
import * as Steps from "./DriverSteps.ts"

/** A broker newer than the client may answer it. */
const unknownCode = 999

/** How a consumer meets an API, and what it fails with then. */
interface Case {
  readonly api: FaultProxyRule.ApiName
  readonly meet: (bench: Bench) => Effect.Effect<DriverError, unknown, KafkaDriver | Scope.Scope>
}

/** Joins, and tells what ends the session, whether at once or later. */
const joins = ({ options }: Bench) =>
  Effect.flip(
    Effect.flatMap(Consumer.open(options()), (session) => Effect.forever(session.nextEvent))
  )

/** The failure of a request of a member, which is refused once it has its partition. */
const member = (
  use: (
    session: ConsumerSession,
    bench: Bench,
    under: GroupMembership
  ) => Effect.Effect<unknown, DriverError>
) =>
(bench: Bench) =>
  Effect.gen(function*() {
    const session = yield* Consumer.open(bench.options())
    const { membership } = yield* Consumer.assignedOf(session)
    return yield* Effect.flip(Effect.asVoid(use(session, bench, membership)))
  })

const everywhere: ReadonlyArray<Case> = [
  {
    api: "OffsetFetch",
    meet: ({ groupId, topic }) =>
      Effect.flatMap(
        KafkaDriver,
        (driver) => Effect.flip(driver.committedOffsets(groupId, [first(topic)]))
      )
  },
  {
    api: "ListOffsets",
    meet: member((session, { topic }) => session.seek(first(topic), "earliest"))
  },
  {
    api: "OffsetCommit",
    meet: member((session, { topic }, membership) =>
      session.commit(membership, [{ ...first(topic), offset: 0n }])
    )
  },
  {
    api: "Fetch",
    meet: (bench) =>
      Effect.gen(function*() {
        const { session } = yield* Consumer.openFromStart(bench.options())
        return (yield* Consumer.eventOf(session, "Disturbed")).error
      })
  }
]

const ofGroups: Readonly<Record<Subject["groupProtocol"], ReadonlyArray<Case>>> = {
  classic: [
    { api: "JoinGroup", meet: joins },
    { api: "SyncGroup", meet: joins },
    { api: "Heartbeat", meet: member((session) => session.heartbeat) }
  ],
  consumer: [{ api: "ConsumerGroupHeartbeat", meet: joins }]
}

/**
 * Adds the tests of unknown codes to a suite.
 *
 * @category testing
 * @since 0.1.0
 */
export const tests = (it: It, subject: Subject): void => {
  it.effect.each([...everywhere, ...ofGroups[subject.groupProtocol]])(
    "a code that nobody knows is told as it is: $api",
    ({ api, meet }) =>
      withTopic(subject, {}, (bench) =>
        Effect.gen(function*() {
          const rule = yield* bench.proxy.inject(FaultProxyRule.error({ api }, unknownCode))
          const error = yield* meet(bench)
          yield* rule.fired
          assert.strictEqual(Steps.told(error), `${api}: ${unknownCode}`)
        }).pipe(Effect.timeout("20 seconds")))
  )
}
