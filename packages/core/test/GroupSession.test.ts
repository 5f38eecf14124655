import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { DriverError, Failure } from "../src/DriverError.ts"
import type * as GroupProtocol from "../src/GroupProtocol.ts"
import * as GroupSession from "../src/GroupSession.ts"
import * as Assignment from "../src/internal/group/assignment.ts"
import * as Signal from "../src/internal/group/signal.ts"
import { options, partition } from "./support/GroupOptions.ts"

describe("the assignment", () => {
  it("is what the Java client writes and reads", () => {
    // ConsumerProtocol.serializeSubscription and serializeAssignment of kafka-clients, version 0.
    assert.strictEqual(
      hex(Assignment.encodeSubscription(["orders"])),
      "00000000000100066f7264657273ffffffff"
    )
    assert.strictEqual(
      hex(Assignment.encodeAssignment([partition(0), partition(300)])),
      "00000000000100066f726465727300000002000000000000012cffffffff"
    )
  })

  it("reads what it wrote, fields that later versions append, and no bytes at all", () => {
    const topics = ["orders", "zahlungen-ä"]
    const later = Uint8Array.of(...Assignment.encodeSubscription(topics), 1, 2, 3)
    assert.deepStrictEqual(Assignment.decodeSubscription(later), topics)
    const partitions = [partition(2), { topic: "other", partition: 0 }, partition(1)]
    assert.deepStrictEqual(
      Assignment.decodeAssignment(Assignment.encodeAssignment(partitions)),
      [partition(2), partition(1), { topic: "other", partition: 0 }]
    )
    assert.deepStrictEqual(Assignment.decodeAssignment(new Uint8Array(0)), [])
  })

  it("fails on bytes that end too early", () => {
    const bytes = Assignment.encodeSubscription(["orders"])
    for (let length = 1; length < bytes.length - 4; length++) {
      assert.throws(() => Assignment.decodeSubscription(bytes.subarray(0, length)), RangeError)
    }
  })

  it("gives ranges, the first members one more, and every partition to exactly one", () => {
    for (let members = 1; members <= 5; members++) {
      for (let count = 0; count <= 12; count++) {
        const subscribers = Array.from(
          { length: members },
          (_, index) => ({ memberId: `m${index}`, topics: ["orders"] })
        ).toReversed()
        const assigned = Assignment.assign(subscribers, new Map([["orders", count]]))
        const shares = subscribers.toReversed().map(({ memberId }) => assigned.get(memberId) ?? [])
        assert.deepStrictEqual(
          shares.flat().map((one) => one.partition),
          Array.from({ length: count }, (_, index) => index)
        )
        const sizes = shares.map((share) => share.length)
        assert.isAtMost(Math.max(...sizes) - Math.min(...sizes), 1)
        assert.deepStrictEqual(sizes, sizes.toSorted((left, right) => right - left))
      }
    }
  })

  it("gives a topic to its subscribers only", () => {
    const assigned = Assignment.assign(
      [{ memberId: "a", topics: ["orders"] }, { memberId: "b", topics: ["other"] }],
      new Map([["orders", 2], ["other", 1]])
    )
    assert.deepStrictEqual(assigned.get("a"), [partition(0), partition(1)])
    assert.deepStrictEqual(assigned.get("b"), [{ topic: "other", partition: 0 }])
  })
})

describe("a signal", () => {
  it.effect("wakes one taker per element, also when a taker tells of the change itself", () =>
    Effect.gen(function*() {
      const signal = Signal.make()
      const elements: Array<number> = []
      const take = signal.until(() => {
        const element = elements.shift()
        if (element !== undefined) signal.changed()
        return element
      })
      const takers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(take))
      yield* Effect.yieldNow
      elements.push(1, 2)
      signal.changed()
      yield* Effect.yieldNow
      const taken = takers.map((taker) => taker.pollUnsafe()).filter((exit) => exit !== undefined)
      assert.strictEqual(taken.length, 2)
      yield* Fiber.interruptAll(takers)
      elements.push(3)
      signal.changed()
      assert.deepStrictEqual(elements, [3], "an interrupted wait takes nothing")
    }))
})

const refused = (request: DriverError["request"], code: number) =>
  new DriverError({ request, failure: Failure.Answered({ code }), detail: "" })

interface Script {
  /** One per join; the last one repeats. */
  readonly joins?: ReadonlyArray<number>
  readonly beats?: ReadonlyArray<number>
  readonly counts?: ReadonlyArray<number>
}

/** A group of one, whose answers are given as codes. */
const makeGroup = ({ beats = [0], counts = [1], joins = [0] }: Script) => {
  const calls: Array<string> = []
  const turns = new Map<string, number>()
  const next = (name: string, answers: ReadonlyArray<number>): number => {
    const turn = turns.get(name) ?? 0
    turns.set(name, turn + 1)
    return answers[Math.min(turn, answers.length - 1)] ?? 0
  }
  const answer = (request: DriverError["request"], code: number) => {
    calls.push(`${request} ${code}`)
    if (code === -1) {
      return Effect.fail(new DriverError({ request, failure: Failure.NoAnswer(), detail: "" }))
    }
    return code === 0 ? Effect.void : Effect.fail(refused(request, code))
  }
  let generation = 0
  const protocol: GroupProtocol.GroupProtocol = {
    leaders: (topics) =>
      Effect.sync(() => {
        const count = next("Metadata", counts)
        const code = count === 0 ? 3 : 0
        return topics.map((topic) => ({ topic, code, leaders: Array(count).fill(1) }))
      }),
    join: ({ memberId }) =>
      Effect.suspend(() => answer("JoinGroup", next("JoinGroup", joins))).pipe(
        Effect.map(() => {
          generation += 1
          const id = memberId === "" ? `member-${generation}` : memberId
          return {
            generationId: generation,
            memberId: id,
            leaderId: id,
            members: [{ memberId: id, metadata: Assignment.encodeSubscription(["orders"]) }]
          }
        })
      ),
    sync: ({ assignments }) => Effect.succeed(assignments[0]?.assignment ?? new Uint8Array(0)),
    heartbeat: () => Effect.suspend(() => answer("Heartbeat", next("Heartbeat", beats))),
    leave: () => answer("LeaveGroup", 0),
    commit: () => Effect.void,
    fetch: () => Effect.never,
    listOffset: () => Effect.succeed(0n)
  }
  return { protocol, calls }
}

describe("a session", () => {
  const tags = Effect.fnUntraced(function*(script: Script, count: number, millis: number) {
    const { calls, protocol } = makeGroup(script)
    const session = yield* GroupSession.open(protocol, options)
    const seen: Array<string> = []
    const watching = yield* Effect.forkScoped(
      Effect.forEach(
        Array(count).fill(0),
        () =>
          Effect.flatMap(Effect.result(session.nextEvent), (event) =>
            Effect.suspend(() => {
              seen.push(event._tag === "Success" ? event.success._tag : event.failure.message)
              return event._tag === "Success" && event.success._tag === "Revoking"
                ? event.success.release
                : Effect.void
            }))
      )
    )
    yield* TestClock.adjust(millis)
    assert.isDefined(watching.pollUnsafe(), `only ${seen.join()} were told`)
    return { seen, calls }
  })

  /** A batch of the log, of one transactional producer. */
  const logBatch = (
    baseOffset: bigint,
    count: number,
    control: "abort" | null = null
  ): GroupProtocol.EncodedBatch => ({
    lastOffset: baseOffset + BigInt(count) - 1n,
    producerId: 7n,
    isTransactional: true,
    control,
    count,
    bytes: 100,
    records: Effect.succeed(
      Array.from({ length: count }, (_, index) => ({
        offset: baseOffset + BigInt(index),
        timestamp: 0n,
        key: null,
        value: null,
        headers: []
      }))
    )
  })

  /** A session whose one fetch answers with batches, sought to an offset. */
  const fetched = Effect.fnUntraced(function*(
    from: bigint,
    batches: ReadonlyArray<GroupProtocol.EncodedBatch>,
    aborted: GroupProtocol.PartitionFetch["aborted"] = []
  ) {
    const { protocol } = makeGroup({})
    let fetches = 0
    const session = yield* GroupSession.open({
      ...protocol,
      fetch: () =>
        Effect.suspend(() => {
          fetches += 1
          return fetches > 1 ? Effect.never : Effect.succeed([{
            ...partition(0),
            code: 0,
            highWatermark: 10_000n,
            lastStableOffset: 10_000n,
            aborted,
            batches
          }])
        })
    }, options)
    yield* session.nextEvent
    yield* session.seek(partition(0), from)
    return session
  })

  it.effect("hands a fetch out in batches that follow on each other", () =>
    Effect.gen(function*() {
      const session = yield* fetched(5n, [
        logBatch(0n, 700),
        logBatch(700n, 700),
        logBatch(1_400n, 10),
        logBatch(1_410n, 1, "abort")
      ], [{ producerId: 7n, firstOffset: 1_400n }])
      const first = yield* session.take(partition(0))
      assert.deepStrictEqual([first.position, first.nextOffset], [5n, 1_411n])
      assert.deepStrictEqual(
        [first.records.length, first.records.at(0)?.offset, first.records.at(-1)?.offset],
        [1_395, 5n, 1_399n]
      )
      const longer = yield* fetched(0n, [
        logBatch(0n, 1_000),
        logBatch(1_000n, 1_000),
        logBatch(2_000n, 1)
      ])
      for (const [position, nextOffset] of [[0n, 1_000n], [1_000n, 2_000n], [2_000n, 2_001n]]) {
        const batch = yield* longer.take(partition(0))
        assert.deepStrictEqual([batch.position, batch.nextOffset], [position, nextOffset])
        assert.strictEqual(BigInt(batch.records.length), nextOffset! - position!)
      }
    }))

  it.effect("goes past what is filtered out whole", () =>
    Effect.gen(function*() {
      const session = yield* fetched(0n, [logBatch(0n, 10), logBatch(10n, 1, "abort")], [
        { producerId: 7n, firstOffset: 0n }
      ])
      const { nextOffset, position, records } = yield* session.take(partition(0))
      assert.deepStrictEqual([position, nextOffset, records.length], [0n, 11n, 0])
    }))

  it.effect("ends when a batch that is taken cannot be decoded", () =>
    Effect.gen(function*() {
      const error = refused("Fetch", 2)
      const session = yield* fetched(0n, [{ ...logBatch(0n, 3), records: Effect.fail(error) }])
      const taker = yield* Effect.forkChild(session.take(partition(0)))
      assert.strictEqual(yield* Effect.flip(Effect.forever(session.nextEvent)), error)
      assert.isUndefined(taker.pollUnsafe())
    }))

  it.effect("joins again when the group rebalances, under the same id", () =>
    Effect.gen(function*() {
      const { seen } = yield* tags({ beats: [0, 27, 0] }, 3, 5_000)
      assert.deepStrictEqual(seen, ["Assigned", "Revoking", "Assigned"])
    }))

  it.effect("loses its partitions when the group has forgotten it, and joins as a new member", () =>
    Effect.gen(function*() {
      for (const code of [22, 25]) {
        const { seen } = yield* tags({ beats: [code, 0] }, 3, 5_000)
        assert.deepStrictEqual(seen, ["Assigned", "Lost", "Assigned"])
      }
    }))

  it.effect("waits for a coordinator that starts or moves", () =>
    Effect.gen(function*() {
      const { seen } = yield* tags({ joins: [14, 15, 16, -1, 0] }, 3, 5_000)
      assert.deepStrictEqual(seen, ["Disturbed", "Recovered", "Assigned"])
    }))

  it.effect("ends when it is refused for good", () =>
    Effect.gen(function*() {
      for (const code of [23, 24, 26, 30, 81, 82]) {
        const { seen } = yield* tags({ joins: [code] }, 1, 1_000)
        assert.deepStrictEqual(seen, [`JoinGroup: code ${code}: `])
      }
    }))

  it.effect("ends when the coordinator is silent for the session timeout", () =>
    Effect.gen(function*() {
      const { seen } = yield* tags({ beats: [-1] }, 4, 10_000)
      assert.deepStrictEqual(seen, ["Assigned", "Disturbed", "Lost", "Heartbeat: NoAnswer: "])
    }))

  it.effect("takes new partitions in when it leads the group", () =>
    Effect.gen(function*() {
      // At the start, at the assignment, and then every few seconds.
      const { seen } = yield* tags({ counts: [1, 1, 2] }, 3, 20_000)
      assert.deepStrictEqual(seen, ["Assigned", "Revoking", "Assigned"])
    }))

  it.effect("ends when its topic stays unknown, and not when it is so for a moment", () =>
    Effect.gen(function*() {
      const gone = "Metadata: code 3: A topic of the consumer's is unknown"
      const deleted = yield* tags({ counts: [1, 1, 0] }, 4, 60_000)
      assert.deepStrictEqual(deleted.seen, ["Assigned", "Revoking", "Assigned", gone])
      const { calls, protocol } = makeGroup({ counts: [1, 1, 0, 0, 1] })
      const session = yield* GroupSession.open(protocol, options)
      const failed = yield* Effect.forkScoped(
        Effect.flip(Effect.forever(Effect.flatMap(
          session.nextEvent,
          (event) => event._tag === "Revoking" ? event.release : Effect.void
        )))
      )
      yield* TestClock.adjust(60_000)
      assert.isUndefined(failed.pollUnsafe())
      assert.isAbove(calls.length, 50)
    }))

  it.effect("does not wait longer for a release than the group does", () =>
    Effect.gen(function*() {
      const { protocol } = makeGroup({ beats: [27, 27, 27, 27, 27, 27, 27, 0] })
      const session = yield* GroupSession.open(protocol, options)
      const events = yield* Deferred.make<ReadonlyArray<string>>()
      yield* Effect.forkScoped(
        Effect.forEach(Array(4).fill(0), () => session.nextEvent).pipe(
          Effect.flatMap((all) => Deferred.succeed(events, all.map(({ _tag }) => _tag)))
        )
      )
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual(
        yield* Deferred.await(events),
        ["Assigned", "Revoking", "Lost", "Assigned"]
      )
    }))

  it.effect("leaves the group when its scope closes, and heartbeats no more", () =>
    Effect.gen(function*() {
      const { calls, protocol } = makeGroup({})
      yield* Effect.scoped(Effect.gen(function*() {
        const session = yield* GroupSession.open(protocol, options)
        yield* session.nextEvent
      }))
      assert.strictEqual(calls.at(-1), "LeaveGroup 0")
      const before = calls.length
      yield* TestClock.adjust(10_000)
      assert.strictEqual(calls.length, before)
    }))

  it.effect("leaves the group also while it joins, under the id that it gets", () =>
    Effect.gen(function*() {
      const { calls, protocol } = makeGroup({})
      const answer = yield* Deferred.make<void>()
      const left: Array<string> = []
      const scope = yield* Scope.make()
      yield* Scope.provide(
        GroupSession.open({
          ...protocol,
          join: (request) => Effect.andThen(Deferred.await(answer), protocol.join(request)),
          leave: (group, membership) => {
            left.push(membership.memberId)
            return protocol.leave(group, membership)
          }
        }, options),
        scope
      )
      yield* TestClock.adjust(1)
      const closing = yield* Effect.forkScoped(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(1)
      assert.isUndefined(closing.pollUnsafe(), "it waits for its join")
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(left, ["member-1"])
      assert.deepStrictEqual(calls, ["JoinGroup 0", "LeaveGroup 0"])
    }))

  it.effect("does not wait longer for its join than the others need to hear of it", () =>
    Effect.gen(function*() {
      const { calls, protocol } = makeGroup({})
      const scope = yield* Scope.make()
      yield* Scope.provide(
        GroupSession.open({ ...protocol, join: () => Effect.never }, options),
        scope
      )
      yield* TestClock.adjust(1)
      const closing = yield* Effect.forkScoped(Scope.close(scope, Exit.void))
      const { heartbeatIntervalMillis, requestTimeoutMillis } = options
      yield* TestClock.adjust(heartbeatIntervalMillis + requestTimeoutMillis)
      assert.isDefined(closing.pollUnsafe())
      assert.deepStrictEqual(calls, [])
    }))

  it.effect("is no member before it has joined", () =>
    Effect.gen(function*() {
      const { protocol } = makeGroup({ joins: [14] })
      const session = yield* GroupSession.open(protocol, options)
      assert.strictEqual(
        (yield* Effect.flip(session.heartbeat)).message.slice(0, 18),
        "Heartbeat: code 25"
      )
    }))

  it.effect("asks nobody once it is closed", () =>
    Effect.gen(function*() {
      const { calls, protocol } = makeGroup({})
      const scope = yield* Scope.make()
      const session = yield* Scope.provide(GroupSession.open(protocol, options), scope)
      yield* TestClock.adjust(1)
      yield* Scope.close(scope, Exit.void)
      const before = [...calls]
      const failures = yield* Effect.forEach([
        session.heartbeat,
        session.commit({ generationId: 1, memberId: "member-1", groupInstanceId: null }, []),
        session.seek(partition(0), "earliest")
      ], Effect.flip)
      for (const { detail } of failures) assert.strictEqual(detail, "The session is closed")
      assert.deepStrictEqual(calls, before)
    }))
})

describe("a session that fetches", () => {
  it.effect("is over where a fetch is refused for good", () =>
    Effect.gen(function*() {
      const { protocol } = makeGroup({})
      for (const code of [29, 35]) {
        const session = yield* GroupSession.open({
          ...protocol,
          fetch: (_, { partitions }) => Effect.succeed(partitions.map((one) => answerOf(one, code)))
        }, options)
        yield* TestClock.adjust(1)
        yield* session.nextEvent
        yield* session.seek(partition(0), 0n)
        yield* TestClock.adjust(1)
        const error = yield* Effect.flip(session.nextEvent)
        assert.deepStrictEqual([error.request, error.failure], [
          "Fetch",
          Failure.Answered({ code })
        ])
      }
    }))

  it.effect.each([6, 25, 9999])(
    "fetches again where code %d is answered once",
    (code) =>
      Effect.gen(function*() {
        const { protocol } = makeGroup({})
        let fetches = 0
        const session = yield* GroupSession.open({
          ...protocol,
          fetch: (_, { partitions }) =>
            Effect.suspend(() => {
              fetches += 1
              return fetches > 1
                ? Effect.never
                : Effect.succeed(partitions.map((one) => answerOf(one, code)))
            })
        }, options)
        yield* TestClock.adjust(1)
        yield* session.nextEvent
        yield* session.seek(partition(0), 0n)
        yield* TestClock.adjust(5_000)
        assert.strictEqual(fetches, 2)
      })
  )
})

const answerOf = (
  { partition, topic }: { readonly topic: string; readonly partition: number },
  code: number
): GroupProtocol.PartitionFetch => ({
  topic,
  partition,
  code,
  highWatermark: 0n,
  lastStableOffset: 0n,
  aborted: [],
  batches: []
})

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
