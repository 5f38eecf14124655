/**
 * How the members of a group of the consumer protocol (KIP-848) share their partitions, over a
 * driver on a real broker: what is taken back is held until it is released, and everything else
 * goes on being read.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import type { ConsumerSession } from "@kafka-once/core/ConsumerDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { type Bench, first, type It, type Subject, withTopic, write } from "./ConsumerBench.ts"
import * as Consumer from "./ConsumerSteps.ts"
import * as Steps from "./DriverSteps.ts"

const api = "ConsumerGroupHeartbeat"

/**
 * Adds the tests of groups of the consumer protocol to a suite.
 *
 * @category testing
 * @since 0.1.0
 */
export const tests = (it: It, subject: Subject): void => {
  sharing(it, subject)
  staying(it, subject)
  losing(it, subject)
}

/** What a session comes to own, as it releases what is asked of it, until it owns so many. */
const owning = (session: ConsumerSession, before: ReadonlyArray<string>, count: number) =>
  Effect.gen(function*() {
    const owned = new Set(before)
    while (owned.size !== count) {
      const event = yield* session.nextEvent
      if (event._tag === "Assigned") {
        for (const one of event.partitions) owned.add(TopicPartition.toKey(one))
      }
      if (event._tag === "Revoking") yield* event.release
      if (event._tag === "Revoking" || event._tag === "Lost") {
        for (const one of event.partitions) owned.delete(TopicPartition.toKey(one))
      }
    }
    return [...owned].toSorted()
  })

const connect = ({ addresses }: Bench["proxy"]) => {
  const [host = "", port = ""] = addresses[0]?.split(":") ?? []
  return ProtocolClient.connect(host, Number(port))
}

const sharing = (it: It, subject: Subject): void => {
  it.effect("a revocation that is held keeps its partitions, and the others go on being read", () =>
    withTopic(subject, { partitions: 4 }, ({ options, topic }) =>
      Effect.gen(function*() {
        const { assigned, session } = yield* Consumer.openFromStart(options())
        assert.strictEqual(assigned.partitions.length, 4)
        const second = yield* Consumer.open(options())
        const secondOwns = yield* Effect.forkScoped(owning(second, [], 2))
        const revoking = yield* Consumer.eventOf(session, "Revoking")
        assert.strictEqual(revoking.partitions.length, 2)
        assert.isAtLeast(revoking.budgetMillis, 5_000)
        const revoked = Consumer.named(revoking.partitions)
        const kept = assigned.partitions.filter((one) =>
          !revoked.includes(TopicPartition.toKey(one))
        )
        const { session: writer } = yield* Steps.open(`writer-${topic}`)
        const writeTo = (those: ReadonlyArray<TopicPartition.TopicPartition>, value: string) =>
          Steps.transact(
            writer,
            those.map(({ partition }) => Steps.batch(topic, partition, value)),
            "commit"
          )
        const writeToAll = (value: string) => writeTo(assigned.partitions, value)
        const readKept = Effect.forEach(
          kept,
          (one) => Effect.map(Consumer.takeValues(session, one, 1), ([value]) => value)
        )
        // The fetch that was on its way asked for what is held now, too.
        yield* writeTo(kept, "0")
        assert.deepStrictEqual(yield* readKept, ["0", "0"])
        // Held for several heartbeats: what is kept is fetched, what is held is not.
        for (const value of ["a", "b", "c"]) {
          yield* writeToAll(value)
          assert.deepStrictEqual(yield* readKept, [value, value])
          yield* session.heartbeat
        }
        const held = yield* Effect.forEach(
          revoking.partitions,
          (one) => Effect.forkScoped(session.take(one))
        )
        yield* session.heartbeat
        assert.isTrue(held.every((taking) => taking.pollUnsafe() === undefined))
        assert.isUndefined(secondOwns.pollUnsafe())
        // It is this member's still, and can be committed.
        yield* session.commit(
          assigned.membership,
          revoking.partitions.map((one) => ({ ...one, offset: 1n }))
        )
        yield* revoking.release
        assert.deepStrictEqual(yield* Fiber.join(secondOwns), revoked)
        yield* writeToAll("d")
        assert.deepStrictEqual(yield* readKept, ["d", "d"])
        const later = yield* Consumer.eventOf(session, "Assigned")
        assert.deepStrictEqual(later.partitions, [], "nothing but another epoch")
        assert.isAbove(later.membership.generationId, assigned.membership.generationId)
      })))

  it.effect("a revocation that is not released in time is a loss, of these partitions only", () =>
    withTopic(subject, { partitions: 2 }, ({ options, topic }) =>
      Effect.gen(function*() {
        const brief = options({ rebalanceTimeoutMillis: 2_000, requestTimeoutMillis: 800 })
        const { assigned, session } = yield* Consumer.openFromStart(brief)
        const second = yield* Consumer.open(brief)
        const secondOwns = yield* Effect.forkScoped(owning(second, [], 1))
        const revoking = yield* Consumer.eventOf(session, "Revoking")
        const lost = yield* Consumer.eventOf(session, "Lost")
        assert.deepStrictEqual(lost.partitions, revoking.partitions)
        assert.deepStrictEqual(yield* Fiber.join(secondOwns), Consumer.named(lost.partitions))
        const [kept] = assigned.partitions.filter(({ partition }) =>
          partition !== lost.partitions[0]?.partition
        )
        const { session: writer } = yield* Steps.open(`writer-${topic}`)
        yield* Steps.transact(writer, [Steps.batch(topic, kept!.partition, "a")], "commit")
        assert.deepStrictEqual(yield* Consumer.takeValues(session, kept!, 1), ["a"])
      })))

  it.effect("a member that leaves is missed at once", () =>
    withTopic(subject, { partitions: 2 }, ({ options }) =>
      Effect.gen(function*() {
        const leaving = yield* Scope.make()
        const slow = options({ sessionTimeoutMillis: 30_000, rebalanceTimeoutMillis: 60_000 })
        const { session } = yield* Scope.provide(Consumer.openFromStart(slow), leaving)
        const second = yield* Consumer.open(slow)
        // It goes with a revocation that it holds.
        yield* Consumer.eventOf(session, "Revoking")
        const startedAt = performance.now()
        yield* Scope.close(leaving, Exit.void)
        yield* owning(second, [], 2)
        assert.isBelow(performance.now() - startedAt, 5_000)
      })))

  it.effect("partitions that are added to the topic are assigned besides the others", () =>
    withTopic(subject, { partitions: 1 }, ({ options, proxy, topic }) =>
      Effect.gen(function*() {
        const { session } = yield* Consumer.openFromStart(options())
        yield* write(topic, ["commit", "a"])
        const client = yield* connect(proxy)
        yield* client.request("CreatePartitions", 3, {
          topics: [{ name: topic, count: 3, assignments: null }],
          timeoutMs: 5_000
        })
        const { partitions } = yield* Consumer.assignedOf(session)
        assert.deepStrictEqual(partitions.map(({ partition }) => partition).toSorted(), [1, 2])
        assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["a"])
      })))
}

const staying = (it: It, subject: Subject): void => {
  it.effect("a static member that comes back has the same partitions, and nobody else moves", () =>
    withTopic(subject, { partitions: 4 }, ({ options }) =>
      Effect.gen(function*() {
        const other = yield* Consumer.open(options())
        const otherOwns = yield* owning(other, [], 4)
        const named = options({ groupInstanceId: "named" })
        const before = yield* Scope.make()
        const session = yield* Scope.provide(Consumer.open(named), before)
        const settling = yield* Effect.forkScoped(owning(other, otherOwns, 2))
        const owned = yield* owning(session, [], 2)
        yield* Fiber.join(settling)
        const moved = yield* Effect.forkScoped(Consumer.eventOf(other, "Revoking"))
        yield* Scope.close(before, Exit.void)
        assert.deepStrictEqual(yield* owning(yield* Consumer.open(named), [], 2), owned)
        yield* other.heartbeat
        assert.isUndefined(moved.pollUnsafe())
      })))

  it.effect("a static name that another holds is waited for, and taken when that is missed", () =>
    withTopic(
      subject,
      { partitions: 1 },
      ({ groupId, options, proxy, topic }) =>
        Effect.gen(function*() {
          // It dies as soon as it has joined.
          const client = yield* connect(proxy)
          const { errorCode } = yield* client.request(api, 1, {
            groupId,
            memberId: "dead",
            memberEpoch: 0,
            instanceId: "named",
            rebalanceTimeoutMs: 10_000,
            subscribedTopicNames: [topic],
            topicPartitions: []
          })
          assert.strictEqual(errorCode, 0)
          const session = yield* Consumer.open(
            options({ groupInstanceId: "named", sessionTimeoutMillis: 30_000 })
          )
          const { error } = yield* Consumer.eventOf(session, "Disturbed")
          assert.strictEqual(Steps.told(error), `${api}: 111`)
          const { partitions } = yield* Consumer.assignedOf(session)
          assert.strictEqual(partitions.length, 1)
          yield* session.heartbeat
        })
    ))

  it.effect.each([
    { action: "dropRequest", rule: FaultProxyRule.dropRequest },
    { action: "dropResponse", rule: FaultProxyRule.dropResponse },
    { action: "resetBefore", rule: FaultProxyRule.resetBefore },
    { action: "resetAfter", rule: FaultProxyRule.resetAfter }
  ])(
    "a join and a heartbeat that meet $action are repeated; no partition is lost",
    ({ rule }) =>
      withTopic(subject, { partitions: 2 }, ({ options, proxy, topic }) =>
        Effect.gen(function*() {
          const quick = options({ requestTimeoutMillis: 500 })
          const joining = yield* proxy.inject(rule({ api, nth: 1 }))
          const { assigned, session } = yield* Consumer.openFromStart(quick)
          yield* joining.fired
          assert.strictEqual(assigned.partitions.length, 2)
          const lost = yield* Effect.forkScoped(Consumer.eventOf(session, "Lost"))
          const staying = yield* proxy.inject(rule({ api, nth: 2 }))
          yield* staying.fired
          yield* session.heartbeat
          yield* session.heartbeat
          yield* write(topic, ["commit", "a"])
          assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["a"])
          assert.isUndefined(lost.pollUnsafe())
        }))
  )

  it.effect("answers that are lost in a rebalance are given again", () =>
    withTopic(subject, { partitions: 4 }, ({ options, proxy }) =>
      Effect.gen(function*() {
        const quick = options({ requestTimeoutMillis: 500 })
        const session = yield* Consumer.open(quick)
        const owned = yield* owning(session, [], 4)
        // Of both members: those that tell of the revocation, the new epoch and the assignment.
        const rules = yield* Effect.forEach(
          [2, 4, 6, 8],
          (nth) => proxy.inject(FaultProxyRule.dropResponse({ api, nth }))
        )
        const second = yield* Consumer.open(quick)
        const [mine, theirs] = yield* Effect.all(
          [owning(session, owned, 2), owning(second, [], 2)],
          { concurrency: 2 }
        )
        yield* Effect.forEach(rules, ({ fired }) => fired)
        assert.deepStrictEqual([...mine, ...theirs].toSorted(), owned)
      })))
}

const losing = (it: It, subject: Subject): void => {
  it.effect.each(["UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH", "GROUP_ID_NOT_FOUND"] as const)(
    "a member that is told %s loses its partitions, and joins anew at once",
    (code) =>
      withTopic(subject, { partitions: 2 }, ({ options, proxy, topic }) =>
        Effect.gen(function*() {
          const { assigned, session } = yield* Consumer.openFromStart(options())
          const rule = yield* proxy.inject(FaultProxyRule.error({ api, nth: 1 }, code))
          const { partitions } = yield* Consumer.eventOf(session, "Lost")
          yield* rule.fired
          const lostAt = performance.now()
          assert.deepStrictEqual(Consumer.named(partitions), Consumer.named(assigned.partitions))
          const again = yield* Consumer.assignedOf(session)
          assert.notStrictEqual(again.membership.memberId, assigned.membership.memberId)
          // The old membership is given up, too, and not waited for.
          assert.isBelow(performance.now() - lostAt, 4_000)
          const at = [{ ...first(topic), offset: 1n }]
          assert.strictEqual(
            Steps.told(yield* Effect.flip(session.commit(assigned.membership, at))),
            "OffsetCommit: 25"
          )
          yield* session.commit(again.membership, at)
        }))
  )
}
