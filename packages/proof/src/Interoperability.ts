/**
 * A driver beside Kafka's own Java client: on one transactional id, over the same records, and in
 * one group.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import * as Consumer from "@kafka-once/core/Consumer"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import { consumerProtocolTimes } from "./ConsumerBench.ts"
import * as JavaProgram from "./internal/javaProgram.ts"
import type { DriverAt } from "./ProducerBench.ts"

const makeBench = Effect.fnUntraced(function*(partitions: number) {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const id = randomUUID().slice(0, 8)
  const topic = `topic-${id}`
  yield* kafka.createTopic(topic, { partitions })
  return { kafka, topic, transactionalId: `id-${id}`, groupId: `group-${id}` }
})

const textOf = (bytes: Uint8Array | null): string =>
  bytes === null ? "" : Buffer.from(bytes).toString()

/** A producer of Java, asked for one thing after the other. */
const javaProducer = Effect.fnUntraced(function*(transactionalId: string, compression = "none") {
  const program = yield* JavaProgram.start("producer", transactionalId, compression)
  // It takes seconds until it runs, which are not to be a transaction's.
  assert.strictEqual(yield* program.next, "ready")
  const ask = (line: string) => Effect.andThen(program.write(line), program.next)
  const done = (line: string) =>
    Effect.map(ask(line), (answer) => assert.strictEqual(answer, "done", line))
  return { ask, done }
})

const oneRecord = (topic: string, partition: number, value: string) =>
  Transaction.send([{
    topic,
    partition,
    key: "ours",
    value,
    headers: [["from", "ours"]]
  }])

/** In turns; each takes the id from the other, between its transactions and within one. */
const alternates = (driverAt: DriverAt) =>
  Effect.gen(function*() {
    const { kafka, topic, transactionalId } = yield* makeBench(2)
    const java = yield* javaProducer(transactionalId)
    const expected: Array<string> = []
    yield* Effect.gen(function*() {
      for (let round = 0; round < 4; round++) {
        const producer = yield* TransactionalProducer.make({
          transactionalId,
          transactionTimeout: "60 seconds"
        })
        const ours = (value: string) => oneRecord(topic, round % 2, value)
        if (round > 0) {
          // Ours has come while Java's transaction is open.
          assert.strictEqual(yield* java.ask("commit"), "failed ProducerFencedException")
          assert.strictEqual(yield* java.ask("begin"), "failed ProducerFencedException")
        }
        yield* producer.withTransaction(ours(`ours-${round}`))
        expected.push(`ours-${round}`)

        // Java comes while ours is open; a round later, between two of ours.
        const takeOver = Effect.andThen(java.done("open"), java.done("begin"))
        const failure = yield* round % 2 === 0
          ? ours(`torn-ours-${round}`).pipe(
            Effect.andThen(takeOver),
            producer.withTransaction(),
            Effect.flip
          )
          : takeOver.pipe(
            Effect.andThen(producer.withTransaction(ours(`late-ours-${round}`))),
            Effect.flip
          )
        assert(failure instanceof Error && "reason" in failure)
        assert.strictEqual(failure.reason._tag, "ProducerFenced", failure.message)

        yield* java.done(`send ${topic} ${round % 2} java-${round}`)
        yield* java.done("commit")
        expected.push(`java-${round}`)
        yield* java.done("begin")
        yield* java.done(`send ${topic} 0 torn-java-${round}`)
      }
      // The last one of Java's is aborted by whoever comes next.
      yield* TransactionalProducer.make({ transactionalId })
      assert.strictEqual(yield* java.ask("commit"), "failed ProducerFencedException")
    }).pipe(Effect.scoped, Effect.provide(driverAt(kafka.bootstrapServers)))
    const seen = yield* CommittedRecords.read({ ...kafka, topic })
    assert.sameMembers(seen.map(({ value }) => textOf(value)), expected)
  }).pipe(Effect.scoped)

/** Everything a record is, as text, so that a difference can be read. */
const written = (
  partition: number,
  record: Pick<
    CommittedRecords.CommittedRecord,
    "offset" | "timestamp" | "key" | "value" | "headers"
  >
): string =>
  JSON.stringify([
    partition,
    String(record.offset),
    String(record.timestamp),
    textOf(record.key),
    textOf(record.value),
    record.headers.map(([name, value]) => [name, textOf(value)])
  ])

const ended = Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "60 seconds" }))

/** A consumer of ours that collects all that it is given, for as long as the scope. */
const collect = Effect.fnUntraced(function*(topic: string, groupId: string) {
  const consumer = yield* Consumer.make({ groupId, topics: [topic] })
  const seen: Array<string> = []
  yield* consumer.batches.pipe(
    Stream.runForEach(({ offsets, partition, records }) => {
      seen.push(...records.map((record) => written(partition, record)))
      return consumer.commit(offsets)
    }),
    Effect.forkScoped
  )
  return seen
})

/** Waits until something is so, for a minute. */
const until = (what: string, isSo: () => boolean) =>
  Effect.sync(isSo).pipe(
    Effect.repeat({ until: (so) => so, schedule: ended }),
    Effect.andThen(Effect.sync(() => assert.isTrue(isSo(), what)))
  )

/** Both write, in every compression, commit and abort, beside each other in the same partitions. */
const seesTheSame = (driverAt: DriverAt) =>
  Effect.gen(function*() {
    const partitions = 3
    const { groupId, kafka, topic, transactionalId } = yield* makeBench(partitions)
    const driver = driverAt(kafka.bootstrapServers)
    const javaWrites = (compression: string) =>
      Effect.gen(function*() {
        const java = yield* javaProducer(`${transactionalId}-${compression}`, compression)
        yield* java.done("open")
        for (let n = 0; n < 12; n++) {
          yield* java.done("begin")
          for (let partition = 0; partition < partitions; partition++) {
            yield* java.done(`send ${topic} ${partition} java-${compression}-${n}`)
          }
          yield* java.done(n % 3 === 2 ? "abort" : "commit")
        }
      })
    const oursWrites = Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make({ transactionalId })
      for (let n = 0; n < 60; n++) {
        yield* Effect.forEach([0, 1, 2], (partition) => oneRecord(topic, partition, `ours-${n}`))
          .pipe(
            Effect.andThen(n % 3 === 2 ? Effect.fail("aborted") : Effect.void),
            producer.withTransaction(),
            Effect.catchIf((error) => error === "aborted", () => Effect.void)
          )
      }
    }).pipe(Effect.scoped, Effect.provide(driver))
    const writers = ["none", "gzip", "snappy", "lz4", "zstd"].map(javaWrites)
    yield* Effect.all([oursWrites, ...writers], { concurrency: "unbounded", discard: true })
    yield* Effect.gen(function*() {
      const seen = yield* collect(topic, groupId)
      const assertTheSame = Effect.fnUntraced(function*(count: number) {
        const byJava = (yield* CommittedRecords.read({ ...kafka, topic }))
          .map((record) => written(record.partition, record))
        assert.lengthOf(byJava, count)
        yield* until("ours has seen as many", () => seen.length >= byJava.length)
        assert.deepStrictEqual([...seen].sort(), byJava.sort())
      })
      // One is open: neither may see it, nor what comes after it.
      const java = yield* javaProducer(`${transactionalId}-open`)
      yield* java.done("open")
      yield* java.done("begin")
      yield* java.done(`send ${topic} 1 open`)
      const producer = yield* TransactionalProducer.make({ transactionalId })
      yield* producer.withTransaction(oneRecord(topic, 1, "behind the open one"))
      const decided = (40 + 5 * 8) * partitions
      yield* assertTheSame(decided)
      // Whoever has been given the last of each partition is given nothing more of before.
      yield* java.done("abort")
      yield* Effect.forEach([0, 1, 2], (partition) => oneRecord(topic, partition, "last")).pipe(
        producer.withTransaction()
      )
      yield* assertTheSame(decided + 1 + partitions)
    }).pipe(Effect.scoped, Effect.provide(driver))
  }).pipe(Effect.scoped)

interface Member {
  readonly seen: Array<string>
  readonly leave: Effect.Effect<void, unknown>
}

const javaMember = Effect.fnUntraced(function*(
  groupId: string,
  topic: string,
  groupProtocol: GroupProtocolName
) {
  const seen: Array<string> = []
  const program = yield* JavaProgram.start("member", groupId, topic, groupProtocol)
  const following = yield* Effect.forkChild(
    Effect.gen(function*() {
      for (let line = ""; line !== "left"; line = yield* program.next) {
        if (line.startsWith("seen ")) seen.push(line.slice(5))
      }
    })
  )
  const member: Member = {
    seen,
    leave: Effect.andThen(program.write("leave"), Fiber.join(following))
  }
  return member
})

const ourMember = Effect.fnUntraced(function*(
  groupId: string,
  topic: string,
  groupProtocol: GroupProtocolName
) {
  const seen: Array<string> = []
  const scope = yield* Scope.fork(yield* Effect.scope)
  const consumer = yield* Scope.provide(
    Consumer.make({
      groupId,
      groupProtocol,
      topics: [topic],
      ...groupProtocol === "classic" ? { heartbeatInterval: "300 millis" } : {}
    }),
    scope
  )
  // What is committed counts; what is refused is read again by its next owner.
  const reading = yield* consumer.batches.pipe(
    Stream.runForEach(({ offsets, records }) =>
      consumer.commit(offsets).pipe(
        Effect.map(() => {
          seen.push(...records.map(({ value }) => textOf(value)))
        }),
        Effect.catchReason("KafkaError", "ConsumerFenced", () => Effect.void),
        // A commit that is under way when the member leaves must still be counted.
        Effect.uninterruptible
      )
    ),
    Effect.forkChild
  )
  const member: Member = {
    seen,
    leave: Effect.andThen(Fiber.interrupt(reading), Scope.close(scope, Exit.void))
  }
  return member
})

/**
 * Members of both kinds join and leave while records are written: the first two in one protocol,
 * the others in another or in the same.
 */
const sharesAGroup = (driverAt: DriverAt, first: GroupProtocolName, later: GroupProtocolName) =>
  Effect.gen(function*() {
    const { groupId, kafka, topic, transactionalId } = yield* makeBench(6)
    const members: Array<Member> = []
    const living = new Set<Member>()
    const join = <E, R>(start: Effect.Effect<Member, E, R>) =>
      Effect.tap(start, (member) =>
        Effect.sync(() => {
          members.push(member)
          living.add(member)
        }))
    const leave = (member: Member) =>
      Effect.andThen(
        Effect.sync(() => living.delete(member)),
        member.leave
      )
    /** Every member that is in the group has been given something since. */
    const allAtWork = Effect.suspend(() => {
      const before = new Map([...living].map((member) => [member, member.seen.length]))
      return Effect.sync(() => [...before].every(([member, count]) => member.seen.length > count))
        .pipe(
          Effect.repeat({ until: (isAtWork) => isAtWork, schedule: ended }),
          Effect.map((isAtWork) => assert.isTrue(isAtWork, "a member was given nothing"))
        )
    })

    yield* Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make({ transactionalId })
      const values: Array<string> = []
      let n = 0
      let isOver = false
      const writing = yield* Effect.suspend(() => {
        const some = Array.from({ length: 12 }, () => `value-${n++}`)
        return Transaction.send(
          some.map((value, index) => ({ topic, partition: index % 6, value }))
        ).pipe(
          producer.withTransaction(),
          Effect.map(() => void values.push(...some)),
          Effect.delay("10 millis")
        )
      }).pipe(Effect.repeat({ until: () => isOver }), Effect.forkChild)

      const ours = yield* join(ourMember(groupId, topic, first))
      yield* allAtWork
      const java = yield* join(javaMember(groupId, topic, first))
      yield* allAtWork
      yield* join(ourMember(groupId, topic, later))
      yield* allAtWork
      yield* leave(ours)
      yield* allAtWork
      yield* join(javaMember(groupId, topic, later))
      yield* allAtWork
      yield* leave(java)
      yield* allAtWork

      isOver = true
      yield* Fiber.join(writing)
      const seen = () => members.flatMap((member) => member.seen)
      yield* until("all is seen", () => seen().length >= values.length)
      for (const member of living) yield* member.leave
      assert.deepStrictEqual(seen().sort(), [...values].sort())
      yield* Effect.log(
        `${values.length} records, by member ${members.map((member) => member.seen.length)}`
      )
    }).pipe(Effect.scoped, Effect.provide(driverAt(kafka.bootstrapServers)))
  }).pipe(Effect.scoped)

/**
 * Runs the suite over a driver.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (
  name: string,
  driverAt: DriverAt,
  groupProtocols: ReadonlyArray<GroupProtocolName> = ["classic"]
): void => {
  layer(EmbeddedKafka.layer({ properties: consumerProtocolTimes }), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(
    `${name} beside the Java client`,
    (it) => {
      it.effect(
        "on one transactional id each fences the other, and nothing of the fenced is seen",
        () => alternates(driverAt),
        120_000
      )

      it.effect(
        "both see the same records under read_committed, whoever wrote them",
        () => seesTheSame(driverAt),
        120_000
      )

      it.effect(
        "in one group nothing is lost or doubled while members of both join and leave",
        () => sharesAGroup(driverAt, "classic", "classic"),
        180_000
      )
      if (!groupProtocols.includes("consumer")) return

      it.effect(
        "nor in one of the consumer protocol",
        () => sharesAGroup(driverAt, "consumer", "consumer"),
        180_000
      )

      it.effect(
        "nor in one that is moved to the consumer protocol, member by member",
        () => sharesAGroup(driverAt, "classic", "consumer"),
        180_000
      )
    }
  )
}
