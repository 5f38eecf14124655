/**
 * What every driver's consumer does, shown on a real broker through the driver port alone.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import type { FetchedBatch } from "@kafka-once/core/ConsumerDriver"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as ConsumerBench from "./ConsumerBench.ts"
import { first, type It, type Subject, withTopic, write } from "./ConsumerBench.ts"
import * as ConsumerGroups from "./ConsumerGroups.ts"
import * as ConsumerIncremental from "./ConsumerIncremental.ts"
import * as ConsumerIsolation from "./ConsumerIsolation.ts"
import * as ConsumerRefusals from "./ConsumerRefusals.ts"
import * as ConsumerSeeks from "./ConsumerSeeks.ts"
import * as Consumer from "./ConsumerSteps.ts"
import * as Steps from "./DriverSteps.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * Runs the contract of a driver's consumer, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (
  name: string,
  driver: DriverAt,
  { broker, groupProtocol = "classic" }: ConsumerBench.Options = {}
): void => {
  const subject = { driver, groupProtocol }
  layer(ConsumerBench.layer(broker), { timeout: "3 minutes", excludeTestServices: true })(
    `the consumer contract, ${name}, ${groupProtocol} groups`,
    (it) => {
      reading(it, subject)
      ConsumerIsolation.tests(it, subject)
      compressed(it, subject)
      bounds(it, subject)
      positions(it, subject)
      ConsumerSeeks.tests(it, subject)
      if (groupProtocol === "classic") ConsumerGroups.tests(it, subject)
      else ConsumerIncremental.tests(it, subject)
      ConsumerRefusals.tests(it, subject)
      faults(it, subject)
    }
  )
}

const reading = (it: It, subject: Subject): void => {
  it.effect("what was committed is read, in order and once, and nothing else (K14)", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(write(
          topic,
          ["commit", "a", "b"],
          ["abort", "never"],
          ["commit", "c"],
          ["abort", "never", "never"],
          ["commit", "d"]
        ))
        const { session } = yield* Consumer.openFromStart(options())
        const values = yield* Consumer.takeValues(session, first(topic), 4)
        assert.deepStrictEqual(values, ["a", "b", "c", "d"])
      })))

  it.effect("an abort marker that is fetched apart from its records ends no other (K14)", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        const one = (yield* Steps.open(`one-${topic}`)).session
        const other = (yield* Steps.open(`other-${topic}`)).session
        yield* one.begin
        yield* other.begin
        yield* Steps.sendAll(one, [Steps.batch(topic, 0, "aborted 1")])
        yield* Steps.sendAll(other, [Steps.batch(topic, 0, "kept 1")])
        yield* Steps.sendAll(one, [Steps.batch(topic, 0, "aborted 2")])
        yield* other.end("commit")
        yield* Steps.sendAll(one, [Steps.batch(topic, 0, "aborted 3")])
        yield* one.end("abort")
        yield* Effect.scoped(write(topic, ["commit", "kept 2"]))
        // So small that each batch comes in a fetch of its own.
        const { session } = yield* Consumer.openFromStart(options({ maxPartitionFetchBytes: 1 }))
        const values = yield* Consumer.takeValues(session, first(topic), 2)
        assert.deepStrictEqual(values, ["kept 1", "kept 2"])
      })))

  it.effect("positions go past markers and what was aborted, without a gap", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(write(topic, ["abort", "never"], ["commit", "a"], ["abort", "never"]))
        const { session } = yield* Consumer.openFromStart(options())
        const batches: Array<FetchedBatch> = []
        while (batches.at(-1)?.nextOffset !== 6n) {
          batches.push(yield* session.take(first(topic)))
        }
        assert.deepStrictEqual(batches.flatMap(Consumer.valuesOf), ["a"])
        batches.reduce((next, { nextOffset, position }) => {
          assert.strictEqual(position, next)
          return nextOffset
        }, 0n)
        assert.strictEqual(session.watermarks(first(topic))?.highWatermark, 6n)
      })))

  it.effect("an open transaction holds back what follows; the last stable offset tells (K16)", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        const open = (yield* Steps.open(`open-${topic}`)).session
        yield* Effect.scoped(write(topic, ["commit", "before"]))
        const { session } = yield* Consumer.openFromStart(options())
        assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["before"])
        const watermarks = Effect.sync(() => session.watermarks(first(topic)))
        // The commit is answered before its marker is there, which may come after the next record.
        yield* Steps.until(watermarks, (told) => told?.highWatermark === 2n)
        yield* open.begin
        yield* Steps.sendAll(open, [Steps.batch(topic, 0, "held back")])
        yield* Effect.scoped(write(topic, ["commit", "behind"]))
        const { capabilities } = yield* KafkaDriver
        const marks = yield* Steps.until(watermarks, (told) => told?.highWatermark === 5n)
        assert.deepStrictEqual(marks, {
          highWatermark: 5n,
          lastStableOffset: capabilities.lastStableOffset ? 2n : null
        })
        yield* open.end("commit")
        assert.deepStrictEqual(
          yield* Consumer.takeValues(session, first(topic), 2),
          ["held back", "behind"]
        )
      })))

  it.effect("a reader of what is uncommitted sees everything but markers", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(write(topic, ["abort", "aborted"], ["commit", "committed"]))
        const { session } = yield* Consumer.openFromStart(
          options({ isolation: "read_uncommitted" })
        )
        const values = yield* Consumer.takeValues(session, first(topic), 2)
        assert.deepStrictEqual(values, ["aborted", "committed"])
      })))

  it.effect("keys, nulls, timestamps and the order of headers arrive as they were sent", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        const bytes = new TextEncoder()
        const [key, value] = [bytes.encode("key"), bytes.encode("värde")]
        const headers = [["b", value], ["a", key]] as const
        const { session: writer } = yield* Steps.open(`writer-${topic}`)
        yield* Steps.transact(writer, [{
          topic,
          partition: 0,
          records: [
            { key, value, headers, timestamp: 1_700_000_000_123n },
            { key: null, value: null, headers: [], timestamp: 1_600_000_000_000n }
          ]
        }], "commit")
        const { session } = yield* Consumer.openFromStart(options())
        const { records } = yield* session.take(first(topic))
        const plain = records.map((one) => ({
          ...one,
          key: one.key && Array.from(one.key),
          value: one.value && Array.from(one.value),
          headers: one.headers.map(([name, content]) => [name, content && Array.from(content)])
        }))
        assert.deepStrictEqual(plain, [
          {
            offset: 0n,
            timestamp: 1_700_000_000_123n,
            key: Array.from(key),
            value: Array.from(value),
            headers: headers.map(([name, content]) => [name, Array.from(content)])
          },
          { offset: 1n, timestamp: 1_600_000_000_000n, key: null, value: null, headers: [] }
        ])
      })))
}

const compressed = (it: It, subject: Subject): void => {
  it.effect.each(["gzip", "zstd"] as const)(
    "records that are compressed with %s are read, from the middle of a batch too",
    (type) =>
      withTopic(
        subject,
        { config: { "compression.type": type } },
        ({ options, topic }) =>
          Effect.gen(function*() {
            yield* Effect.scoped(write(topic, ["commit", "a", "b", "c"]))
            const session = yield* Consumer.open(options())
            yield* Consumer.eventOf(session, "Assigned")
            yield* session.seek(first(topic), 1n)
            const batch = yield* session.take(first(topic))
            assert.deepStrictEqual(Consumer.valuesOf(batch), ["b", "c"])
            assert.strictEqual(batch.position, 1n)
          })
      )
  )
}

const bounds = (it: It, subject: Subject): void => {
  it.effect("what nobody takes keeps no other partition waiting", () =>
    withTopic(subject, { partitions: 2 }, ({ options, topic }) =>
      Effect.gen(function*() {
        const { session: writer } = yield* Steps.open(`writer-${topic}`)
        for (let round = 0; round < 20; round++) {
          yield* Steps.transact(writer, [Steps.batch(topic, 0, "x".repeat(50_000))], "commit")
        }
        const { session } = yield* Consumer.openFromStart(
          options({ maxPartitionFetchBytes: 100_000, maxPrefetchBytes: 150_000 })
        )
        yield* Steps.until(
          Effect.sync(() => session.watermarks(first(topic))),
          (marks) => marks !== null
        )
        yield* Steps.transact(writer, [Steps.batch(topic, 1, "quick")], "commit")
        assert.deepStrictEqual(
          yield* Consumer.takeValues(session, { topic, partition: 1 }, 1),
          ["quick"]
        )
        assert.strictEqual((yield* Consumer.takeValues(session, first(topic), 20)).length, 20)
      })))

  it.effect("a paused partition is not fetched, and goes on where it was", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(write(topic, ["commit", "a"], ["commit", "b"]))
        const { session } = yield* Consumer.openFromStart(options({ maxPartitionFetchBytes: 1 }))
        assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["a"])
        yield* session.pause([first(topic)])
        const taking = yield* Effect.forkScoped(Consumer.takeValues(session, first(topic), 1))
        yield* session.heartbeat
        assert.isUndefined(taking.pollUnsafe())
        yield* session.resume([first(topic)])
        assert.deepStrictEqual(yield* Fiber.join(taking), ["b"])
      })))
}

const positions = (it: It, subject: Subject): void => {
  it.effect("an unknown topic is refused at once, with its code", () =>
    withTopic(subject, {}, ({ options }) =>
      Effect.gen(function*() {
        const opening = Consumer.open(options({ topics: ["absent"] }))
        assert.strictEqual(Steps.told(yield* Effect.flip(opening)), "Metadata: 3")
      })))

  it.effect("after a seek nothing of before it is taken", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(write(topic, ["commit", "a", "b", "c"]))
        const { session } = yield* Consumer.openFromStart(options())
        for (const from of [2n, 0n, 1n]) {
          yield* session.seek(first(topic), from)
          const { position, records } = yield* session.take(first(topic))
          assert.strictEqual(position, from)
          assert.strictEqual(records[0]?.offset, from)
        }
        yield* session.seek(first(topic), "latest")
        yield* Effect.scoped(write(topic, ["commit", "new"]))
        assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["new"])
      })))

  it.effect("a position that is not in the log is told, and can be sought again", () =>
    withTopic(subject, {}, ({ options, topic }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(write(topic, ["commit", "a"]))
        const session = yield* Consumer.open(options())
        yield* Consumer.eventOf(session, "Assigned")
        yield* session.seek(first(topic), 1_000n)
        const { position, topicPartition } = yield* Consumer.eventOf(session, "OutOfRange")
        assert.deepStrictEqual([topicPartition, position], [first(topic), 1_000n])
        yield* session.seek(first(topic), "earliest")
        assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["a"])
      })))

  it.effect("positions are committed under the membership of their fetch, and no other", () =>
    withTopic(subject, { partitions: 2 }, ({ groupId, options, topic }) =>
      Effect.gen(function*() {
        const { assigned, session } = yield* Consumer.openFromStart(options())
        const at = (offset: bigint) => [{ ...first(topic), offset }]
        yield* session.commit(assigned.membership, at(7n))
        const stale = { ...assigned.membership, generationId: 0 }
        assert.strictEqual(
          Steps.told(yield* Effect.flip(session.commit(stale, at(9n)))),
          subject.groupProtocol === "classic" ? "OffsetCommit: 22" : "OffsetCommit: 113"
        )
        const stranger = { ...assigned.membership, memberId: "stranger" }
        assert.strictEqual(
          Steps.told(yield* Effect.flip(session.commit(stranger, at(9n)))),
          "OffsetCommit: 25"
        )
        const { committedOffsets } = yield* KafkaDriver
        const found = yield* committedOffsets(groupId, [first(topic), { topic, partition: 1 }])
        assert.deepStrictEqual(found.map(({ offset }) => offset), [7n, null])
      })))
}

const faults = (it: It, subject: Subject): void => {
  it.effect("a session that is closed asks nothing more, and opens no connection", () =>
    withTopic(subject, {}, ({ options, proxy, topic }) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { assigned, session } = yield* Scope.provide(
          Consumer.openFromStart(options()),
          scope
        )
        yield* Scope.close(scope, Exit.void)
        const after = yield* proxy.log.position
        const opened = yield* proxy.connections.opened
        const asked = yield* Effect.forEach([
          session.heartbeat,
          session.commit(assigned.membership, [{ ...first(topic), offset: 1n }]),
          session.seek(first(topic), "latest")
        ], Effect.exit)
        assert.isTrue(asked.every(Exit.isFailure), String(asked))
        assert.strictEqual(yield* proxy.connections.opened, opened)
        assert.strictEqual(yield* proxy.log.position, after)
      })))

  it.effect.each([
    { action: "dropRequest", rule: FaultProxyRule.dropRequest },
    { action: "dropResponse", rule: FaultProxyRule.dropResponse },
    { action: "resetBefore", rule: FaultProxyRule.resetBefore },
    { action: "resetAfter", rule: FaultProxyRule.resetAfter }
  ])(
    "a fetch that meets $action is repeated; nothing is lost or doubled",
    ({ rule }) =>
      withTopic(subject, {}, ({ options, proxy, topic }) =>
        Effect.gen(function*() {
          yield* Effect.scoped(write(topic, ["commit", "a"], ["commit", "b"], ["commit", "c"]))
          const { session } = yield* Consumer.openFromStart(
            options({ maxPartitionFetchBytes: 1, requestTimeoutMillis: 500 })
          )
          assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["a"])
          const injected = yield* proxy.inject(rule({ api: "Fetch", nth: 1 }))
          const values = yield* Consumer.takeValues(session, first(topic), 2)
          assert.deepStrictEqual(values, ["b", "c"])
          yield* injected.fired
        }))
  )

  it.effect("a fetch that is refused is repeated, and told while it lasts", () =>
    withTopic(subject, {}, ({ options, proxy, topic }) =>
      Effect.gen(function*() {
        const { session } = yield* Consumer.openFromStart(options())
        const rule = yield* proxy.inject(
          FaultProxyRule.error({ api: "Fetch", nth: [1, 2] }, "NOT_LEADER_OR_FOLLOWER")
        )
        const { error } = yield* Consumer.eventOf(session, "Disturbed")
        assert.strictEqual(Steps.told(error), "Fetch: 6")
        yield* rule.fired
        yield* Consumer.eventOf(session, "Recovered")
        yield* Effect.scoped(write(topic, ["commit", "a"]))
        assert.deepStrictEqual(yield* Consumer.takeValues(session, first(topic), 1), ["a"])
      })))

  it.effect("a member that the group has dropped loses its partitions, and joins again", () =>
    withTopic(subject, {}, ({ options, proxy, topic }) =>
      Effect.gen(function*() {
        const { assigned, session } = yield* Consumer.openFromStart(options())
        const rule = yield* proxy.inject(
          FaultProxyRule.error({
            api: subject.groupProtocol === "classic" ? "Heartbeat" : "ConsumerGroupHeartbeat",
            nth: 1
          }, "UNKNOWN_MEMBER_ID")
        )
        const { partitions } = yield* Consumer.eventOf(session, "Lost")
        yield* rule.fired
        assert.deepStrictEqual(partitions, [first(topic)])
        const again = yield* Consumer.assignedOf(session)
        assert.deepStrictEqual(again.partitions, [first(topic)])
        assert.isAbove(again.membership.generationId, assigned.membership.generationId)
      })))

  it.effect("a group without its coordinator ends the session within the session timeout", () =>
    withTopic(subject, {}, ({ options, proxy, topic }) =>
      Effect.gen(function*() {
        const { session } = yield* Consumer.openFromStart(
          options({ sessionTimeoutMillis: 6_000, requestTimeoutMillis: 500 })
        )
        const startedAt = performance.now()
        yield* proxy.blackhole("both")
        const { partitions } = yield* Consumer.eventOf(session, "Lost")
        assert.deepStrictEqual(partitions, [first(topic)])
        const error = yield* Effect.flip(session.nextEvent)
        assert.include(["NoAnswer", "NotSent"], error.failure._tag)
        const took = performance.now() - startedAt
        assert.isAbove(took, 5_500)
        assert.isBelow(took, 9_000)
      }).pipe(Effect.ensuring(proxy.heal))))

  it.effect("closing a session and its driver leaves no socket behind", () =>
    Effect.gen(function*() {
      yield* withTopic(subject, {}, ({ options }) => Consumer.openFromStart(options()))
      const proxy = yield* ProxiedKafka.Proxy
      yield* proxy.connections.awaitOpen(0)
    }))
}
