import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { SessionEvent } from "../src/ConsumerDriver.ts"
import { DriverError, Failure } from "../src/DriverError.ts"
import type {
  ConsumerHeartbeat,
  ConsumerHeartbeatAnswer,
  GroupProtocol,
  TopicIdPartitions
} from "../src/GroupProtocol.ts"
import * as GroupSession from "../src/GroupSession.ts"
import { options as classicOptions } from "./support/GroupOptions.ts"

const options = { ...classicOptions, groupProtocol: "consumer" } as const
const intervalMillis = 2_000

const refused = (code: number) =>
  new DriverError({
    request: "ConsumerGroupHeartbeat",
    failure: Failure.Answered({ code }),
    detail: ""
  })
const silence = new DriverError({
  request: "ConsumerGroupHeartbeat",
  failure: Failure.NoAnswer(),
  detail: ""
})

const orders = (...partitions: ReadonlyArray<number>): ReadonlyArray<TopicIdPartitions> => [
  { topicId: "id-1", partitions }
]

/** What the coordinator answers: an epoch and an assignment, a code, or nothing. */
type Answer = readonly [epoch: number, assignment?: ReadonlyArray<TopicIdPartitions>] | DriverError

/** A coordinator that answers as it is told, and the last epoch where it is told nothing. */
const makeGroup = () => {
  const heard: Array<ConsumerHeartbeat> = []
  const answers: Array<Answer> = []
  let epoch = 0
  let topicId = "id-1"
  const unused = () => Effect.die(new Error("not of this protocol"))
  const protocol: GroupProtocol = {
    leaders: (topics) =>
      Effect.sync(() => topics.map((topic) => ({ topic, topicId, code: 0, leaders: [1, 1, 1] }))),
    join: unused,
    sync: unused,
    heartbeat: unused,
    leave: unused,
    consumerHeartbeat: (heartbeat) =>
      Effect.suspend((): Effect.Effect<ConsumerHeartbeatAnswer, DriverError> => {
        heard.push(heartbeat)
        const answer = heartbeat.memberEpoch < 0 ? [epoch] as const : answers.shift() ?? [epoch]
        if (answer instanceof DriverError) return Effect.fail(answer)
        epoch = answer[0]
        return Effect.succeed({
          memberEpoch: epoch,
          heartbeatIntervalMillis: intervalMillis,
          assignment: answer[1] ?? null
        })
      }),
    commit: () => Effect.void,
    fetch: () => Effect.never,
    listOffset: () => Effect.succeed(0n)
  }
  return {
    protocol,
    answers,
    /** Since the last call, in short: what the coordinator was told. */
    heard: () =>
      heard.splice(0).map(({ memberEpoch, partitions, subscription }) =>
        `${memberEpoch}${subscription === null ? "" : " all"}` +
        (partitions === null ? "" : ` ${partitions.map((one) => one.partitions.join()).join("+")}`)
      ),
    all: heard,
    remake: (id: string) => {
      topicId = id
    }
  }
}

/** A member of a group whose first answer is given, with its events one after another. */
const member = Effect.fnUntraced(function*(
  group: ReturnType<typeof makeGroup>,
  first: ReadonlyArray<Answer>,
  changes: Partial<typeof classicOptions> = {}
) {
  group.answers.push(...first)
  const opening = yield* Effect.forkScoped(
    GroupSession.open(group.protocol, { ...options, ...changes })
  )
  yield* TestClock.adjust(1)
  // After a join that has failed it pauses once.
  if (opening.pollUnsafe() === undefined) yield* TestClock.adjust(1_000)
  const session = yield* Fiber.join(opening)
  const events = yield* Queue.unbounded<SessionEvent | DriverError>()
  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(session.nextEvent, (event) => Queue.offer(events, event))).pipe(
      Effect.catch((error) => Queue.offer(events, error))
    )
  )
  yield* TestClock.adjust(1)
  const tell = (event: SessionEvent | DriverError): string => {
    if (event instanceof DriverError) return event.message
    if (event._tag === "Assigned") {
      return `Assigned ${event.membership.generationId} ${numbers(event.partitions)}`
    }
    return "partitions" in event ? `${event._tag} ${numbers(event.partitions)}` : event._tag
  }
  return {
    session,
    /** What has been told since the last call. */
    told: Effect.gen(function*() {
      const all: Array<SessionEvent | DriverError> = []
      while ((yield* Queue.size(events)) > 0) all.push(yield* Queue.take(events))
      const release = all.map((event) =>
        !(event instanceof DriverError) && event._tag === "Revoking" ? event.release : Effect.void
      )
      return { told: all.map(tell), release: Effect.all(release, { discard: true }) }
    })
  }
})

const numbers = (partitions: ReadonlyArray<{ readonly partition: number }>): string =>
  partitions.map((one) => one.partition).join()

describe("a member of the consumer protocol", () => {
  it.effect("joins with everything, then tells what has changed, as often as the broker says", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [[3, orders(0, 1)]])
      assert.deepStrictEqual((yield* told).told, ["Assigned 3 0,1"])
      // What it has taken over is told at once.
      assert.deepStrictEqual(group.heard(), ["0 all ", "3 0,1"])
      yield* TestClock.adjust(3 * intervalMillis)
      assert.deepStrictEqual(group.heard(), ["3", "3", "3"])
    }))

  it.effect("gives back what it is asked for when that is released, and keeps the rest", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [[3, orders(0, 1)]])
      yield* told
      group.heard()
      group.answers.push([3, orders(0)])
      yield* TestClock.adjust(2 * intervalMillis)
      const asked = yield* told
      assert.deepStrictEqual(asked.told, ["Revoking 1"])
      assert.deepStrictEqual(group.heard(), ["3", "3"], "it owns both until it has released one")
      group.answers.push([4])
      yield* asked.release
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(group.heard(), ["3 0"], "at once")
      assert.deepStrictEqual((yield* told).told, ["Assigned 4 "])
    }))

  it.effect("takes over again what it was giving back, when that is done", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [[3, orders(0, 1)]])
      yield* told
      group.answers.push([3, orders(0)], [3, orders(0, 1)])
      yield* TestClock.adjust(2 * intervalMillis)
      const asked = yield* told
      assert.deepStrictEqual(asked.told, ["Revoking 1"])
      yield* asked.release
      yield* TestClock.adjust(1)
      assert.deepStrictEqual((yield* told).told, ["Assigned 3 1"])
      assert.deepStrictEqual(group.heard().slice(-2), ["3 0", "3 0,1"])
    }))

  it.effect("loses what is not released in time, and nothing else", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [[3, orders(0, 1)]])
      yield* told
      group.answers.push([3, orders(0)])
      yield* TestClock.adjust(intervalMillis)
      const asked = yield* told
      // Half of the rebalance timeout, because two requests may be lost on the way.
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual((yield* told).told, ["Lost 1"])
      assert.strictEqual(group.heard().at(-1), "3 0")
      yield* asked.release
      yield* TestClock.adjust(intervalMillis)
      assert.deepStrictEqual((yield* told).told, [])
    }))

  it.effect("tells everything again after a heartbeat without an answer, and soon", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [[3, orders(0, 1)], silence, refused(16), [3]])
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(group.heard(), ["0 all ", "3 0,1", "3 all 0,1", "3 all 0,1"])
      assert.deepStrictEqual((yield* told).told, ["Assigned 3 0,1", "Disturbed", "Recovered"])
    }))

  it.effect("repeats a join without an answer under the same id", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [silence, [3, orders(0)]])
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual((yield* told).told, ["Disturbed", "Recovered", "Assigned 3 0"])
      assert.strictEqual(new Set(group.all.map(({ memberId }) => memberId)).size, 1)
    }))

  it.effect("loses everything when it is thrown out, leaves, and joins under another id", () =>
    Effect.gen(function*() {
      for (const code of [25, 69, 110]) {
        const group = makeGroup()
        const { told } = yield* member(group, [[3, orders(0, 1)], [3]])
        group.answers.push(refused(code), [5, orders(1)])
        yield* TestClock.adjust(intervalMillis)
        assert.deepStrictEqual(
          (yield* told).told,
          ["Assigned 3 0,1", "Lost 0,1", "Assigned 5 1"]
        )
        const [before] = group.all
        const after = group.all.at(-1)
        assert.notStrictEqual(after?.memberId, before?.memberId)
        const left = group.all.filter(({ memberEpoch }) => memberEpoch === -1)
        assert.deepStrictEqual(left.map(({ memberId }) => memberId), [before?.memberId])
        assert.deepStrictEqual(group.heard().slice(-4), ["3", "-1", "0 all ", "5 1"])
      }
    }))

  it.effect("gives up what it holds, too, when it is thrown out", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [[3, orders(0, 1)]])
      group.answers.push([3, orders(0)], refused(110), [5, orders(1)])
      yield* TestClock.adjust(2 * intervalMillis)
      const asked = yield* told
      assert.deepStrictEqual(
        asked.told,
        ["Assigned 3 0,1", "Revoking 1", "Lost 0,1", "Assigned 5 1"]
      )
      // Of the membership of before: it takes nothing from this one.
      yield* asked.release
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual((yield* told).told, [])
    }))

  it.effect("takes a topic that is made again for another one", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [[3, orders(0)]])
      yield* told
      group.heard()
      group.remake("id-2")
      group.answers.push([4, [{ topicId: "id-2", partitions: [0] }]])
      yield* TestClock.adjust(intervalMillis)
      const asked = yield* told
      assert.deepStrictEqual(asked.told, ["Assigned 4 ", "Revoking 0"])
      yield* asked.release
      yield* TestClock.adjust(1)
      assert.deepStrictEqual((yield* told).told, ["Assigned 4 0"])
      assert.deepStrictEqual(group.all.at(-1)?.partitions, [{ topicId: "id-2", partitions: [0] }])
    }))

  it.effect("asks again for the name of a topic, and owns the others meanwhile", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [
        [3, [...orders(0), { topicId: "id-2", partitions: [1] }]]
      ])
      yield* TestClock.adjust(500)
      assert.deepStrictEqual((yield* told).told, ["Assigned 3 0"])
      group.remake("id-2")
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual((yield* told).told, ["Assigned 3 1"])
    }))

  it.effect("cannot be opened where its first join is refused for good", () =>
    Effect.gen(function*() {
      for (const code of [23, 24, 30, 35, 69, 81, 82, 112]) {
        const group = makeGroup()
        group.answers.push(refused(code))
        const error = yield* Effect.flip(
          Effect.scoped(GroupSession.open(group.protocol, options))
        )
        assert.strictEqual(error.message, `ConsumerGroupHeartbeat: code ${code}: `)
        assert.deepStrictEqual(group.heard(), ["0 all "], "who is refused has nothing to leave")
      }
    }))

  it.effect("cannot be opened over a client that does not speak the protocol", () =>
    Effect.gen(function*() {
      const { consumerHeartbeat: _, ...protocol } = makeGroup().protocol
      const error = yield* Effect.flip(GroupSession.open(protocol, options))
      assert.strictEqual(error.failure._tag, "Refused")
    }))

  it.effect("waits for a static name until whoever holds it must have been missed", () =>
    Effect.gen(function*() {
      const taken = Array.from({ length: 5 }, () => refused(111))
      const patient = yield* member(makeGroup(), [...taken, [3, orders(0)]], {
        groupInstanceId: "named"
      })
      yield* TestClock.adjust(6_000)
      assert.deepStrictEqual(
        (yield* patient.told).told,
        ["Disturbed", "Recovered", "Assigned 3 0"]
      )
      const group = makeGroup()
      const vain = yield* member(group, Array.from({ length: 20 }, () => refused(111)), {
        groupInstanceId: "named"
      })
      yield* TestClock.adjust(options.sessionTimeoutMillis + 1_000)
      assert.deepStrictEqual((yield* vain.told).told, [
        "Disturbed",
        "ConsumerGroupHeartbeat: code 111: "
      ])
    }))

  it.effect("ends when the coordinator is silent for the session timeout", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { told } = yield* member(group, [
        [3, orders(0)],
        ...Array.from({ length: 100 }, () => silence)
      ])
      yield* TestClock.adjust(options.sessionTimeoutMillis + 1_000)
      assert.deepStrictEqual((yield* told).told, [
        "Assigned 3 0",
        "Disturbed",
        "Lost 0",
        "ConsumerGroupHeartbeat: NoAnswer: "
      ])
    }))

  it.effect("leaves when its scope closes; a static one says that it may come back", () =>
    Effect.gen(function*() {
      for (const [groupInstanceId, epoch] of [[null, -1], ["named", -2]] as const) {
        const group = makeGroup()
        const scope = yield* Scope.make()
        yield* Scope.provide(member(group, [[3, orders(0)]], { groupInstanceId }), scope)
        yield* Scope.close(scope, Exit.void)
        const last = group.all.at(-1)
        assert.deepStrictEqual([last?.memberEpoch, last?.groupInstanceId], [epoch, groupInstanceId])
        const count = group.all.length
        yield* TestClock.adjust(10_000)
        assert.strictEqual(group.all.length, count)
      }
    }))

  it.effect("answers who asks for a heartbeat by one that begins after the call", () =>
    Effect.gen(function*() {
      const group = makeGroup()
      const { session } = yield* member(group, [[3, orders(0)]])
      group.heard()
      yield* session.heartbeat
      assert.deepStrictEqual(group.heard(), ["3"])
      group.answers.push(refused(110), refused(14))
      assert.strictEqual((yield* Effect.flip(session.heartbeat)).message.slice(-10), "code 110: ")
      yield* TestClock.adjust(1)
      assert.include((yield* Effect.flip(session.heartbeat)).message, "code 25")
    }))
})
