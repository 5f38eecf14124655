/**
 * What every driver does, shown on a real broker through the driver port alone.
 *
 * A driver proves itself by passing {@link suite}, a function of its layer; what is only a driver's
 * own it tests itself. Each title states a promise that the library builds on.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import { KafkaDriver, type Request } from "@kafka-once/core/KafkaDriver"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Steps from "./DriverSteps.ts"
import { faults } from "./internal/contractFaults.ts"
import * as Strangers from "./internal/strangers.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * The addresses that a driver under test connects to.
 *
 * @category services
 * @since 0.1.0
 */
export class Brokers extends Context.Service<Brokers, {
  readonly addresses: ReadonlyArray<string>
}>()("@kafka-once/proof/DriverContract/Brokers") {}

/**
 * A driver as the contract takes it: built over the addresses that the contract gives.
 *
 * @category models
 * @since 0.1.0
 */
export type DriverLayer = Layer.Layer<KafkaDriver, unknown, Brokers>

/**
 * What differs from driver to driver, and from broker to broker.
 *
 * **Details**
 *
 * *Shape*
 * - `broker`: the broker that the contract runs on.
 * - `neverSends`: requests for which the driver has no use there, such as AddOffsetsToTxn at
 *   version 2 of the transaction protocol.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly broker?: EmbeddedKafka.Options
  readonly neverSends?: ReadonlyArray<Request>
}

const at = (driver: DriverLayer, addresses: ReadonlyArray<string>) =>
  // One layer is built once per run; fresh, it is built for these addresses.
  Layer.fresh(driver).pipe(Layer.provide(Layer.succeed(Brokers, { addresses })))

/**
 * Runs the contract against a driver, on a broker of its own.
 *
 * **Example** (A driver proves itself)
 *
 * ```ts
 * import * as DriverContract from "@kafka-once/proof/DriverContract"
 *
 * DriverContract.suite("mine", Layer.unwrap(
 *   Effect.map(DriverContract.Brokers, ({ addresses }) => Mine.layer({ brokers: addresses }))
 * ))
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverLayer, options: Options = {}): void => {
  const direct = Layer.unwrap(
    Effect.map(EmbeddedKafka.EmbeddedKafka, ({ bootstrapServers }) => at(driver, bootstrapServers))
  )
  layer(direct.pipe(Layer.provideMerge(ProxiedKafka.layer(options.broker))), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`the driver contract, ${name}`, (it) => {
    refusals(it, driver)
    sessions(it)
    sending(it)
    offsets(it)
    evidence(it)
    strangers(it, driver)
    faults(it, (addresses) => at(driver, addresses), options.neverSends ?? [])
  })
}

type It = Vitest.MethodsNonLive<KafkaDriver | EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

const refusals = (it: It, driver: DriverLayer): void => {
  it.effect("an unknown topic is refused with its code", () =>
    Effect.gen(function*() {
      const kafka = yield* KafkaDriver
      const error = yield* Effect.flip(kafka.partitionCount("absent"))
      assert.strictEqual(Steps.told(error), "Metadata: 3")
    }))

  it.effect("a host that is not there: nothing was sent", () =>
    Effect.gen(function*() {
      const kafka = yield* KafkaDriver
      assert.strictEqual(Steps.told(yield* Effect.flip(kafka.probe)), "Connect: NotSent")
      const opening = Effect.scoped(Steps.open("nobody"))
      assert.strictEqual(Steps.told(yield* Effect.flip(opening)), "Connect: NotSent")
    }).pipe(Effect.provide(at(driver, ["127.0.0.1:9", "no-such-host.invalid:9092"]))))

  it.effect("a second bootstrap address is used when the first is down", () =>
    Effect.gen(function*() {
      const { bootstrapServers } = yield* EmbeddedKafka.EmbeddedKafka
      const { identity } = yield* Effect.scoped(Steps.open("second-address")).pipe(
        Effect.provide(at(driver, ["127.0.0.1:9", ...bootstrapServers]))
      )
      assert.isTrue(identity.producerId >= 0n)
    }))

  it.effect("a transaction timeout above the broker's maximum is refused by InitProducerId", () =>
    Effect.gen(function*() {
      const opening = Steps.open("too-long", { transactionTimeoutMillis: 24 * 3_600_000 })
      assert.strictEqual(
        Steps.told(yield* Effect.flip(Effect.scoped(opening))),
        "InitProducerId: 50"
      )
    }))

  it.effect("a record larger than the broker takes is refused by Produce, alone", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("large")
      const { session } = yield* Steps.open("large")
      yield* session.begin
      const large = Steps.batch("large", 0, "x".repeat(1_100_000))
      assert.strictEqual(
        Steps.told(yield* Effect.flip(Steps.sendOne(session, large))),
        "Produce: 10"
      )
      yield* session.end("abort")
    }))

  it.effect("a partition that is not there is refused, and its neighbours are appended", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("neighbours")
      const { session } = yield* Steps.open("neighbours")
      yield* session.begin
      const answers = yield* Steps.sendAll(session, [
        Steps.batch("neighbours", 7, "lost"),
        Steps.batch("neighbours", 0, "kept"),
        Steps.batch("absent", 0, "lost")
      ])
      assert.deepStrictEqual(
        answers.map((answer) =>
          Result.isSuccess(answer) ? answer.success.baseOffset : Steps.told(answer.failure)
        ),
        ["Metadata: 3", 0n, "Metadata: 3"]
      )
      yield* session.end("abort")
    }))
}

const sessions = (it: It): void => {
  it.effect("a new session keeps the producer id, raises the epoch and fences the old one", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("fenced")
      const old = yield* Steps.open("fenced")
      yield* old.session.begin
      yield* Steps.sendOne(old.session, Steps.batch("fenced", 0, "old"))
      const next = yield* Steps.open("fenced")
      assert.strictEqual(next.identity.producerId, old.identity.producerId)
      assert.isAbove(next.identity.epoch, old.identity.epoch)
      const error = yield* Effect.flip(old.session.end("commit"))
      // 47 before version 2 of EndTxn, 90 from it on.
      assert.include(["EndTxn: 47", "EndTxn: 90"], Steps.told(error))
      yield* Steps.transact(next.session, [Steps.batch("fenced", 0, "next")], "commit")
      assert.deepStrictEqual(yield* Steps.valuesIn("fenced", 1), ["next"])
    }))

  it.effect("a transaction without records ends well, and the next one is whole", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("empty")
      const { session } = yield* Steps.open("empty")
      for (const end of ["commit", "abort"] as const) {
        yield* session.begin
        yield* session.end(end)
      }
      const [appended] = yield* Steps.transact(session, [Steps.batch("empty", 0, "a")], "commit")
      assert.strictEqual(appended?.baseOffset, 0n)
    }))

  it.effect("after its scope has closed a session sends nothing", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("closed")
      const scope = yield* Scope.make()
      const { session } = yield* Steps.open("closed").pipe(Scope.provide(scope))
      yield* session.begin
      yield* Steps.sendOne(session, Steps.batch("closed", 0, "before"))
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(Steps.sendOne(session, Steps.batch("closed", 0, "after")))
      assert.include(["NotSent", "Refused"], error.failure._tag)
      const ended = yield* Effect.flip(session.end("commit"))
      assert.include(["NotSent", "Refused"], ended.failure._tag)
      assert.deepStrictEqual(yield* Steps.appendedIn("closed"), ["before"])
    }))
}

const sending = (it: It): void => {
  it.effect("records arrive as they were given", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("as-given")
      const { session } = yield* Steps.open("as-given")
      const bytes = new Uint8Array([0, 255, 128])
      // The first timestamp has fewer digits than the second.
      const records = [
        { key: bytes, value: bytes, headers: [], timestamp: 999_999_999_999n },
        {
          key: null,
          value: new Uint8Array(0),
          headers: [["a", bytes], ["a", new Uint8Array(0)], ["__proto__", bytes]] as const,
          timestamp: 1_000_000_000_000n
        },
        { key: new Uint8Array(0), value: null, headers: [["é", bytes]] as const, timestamp: 1n }
      ]
      yield* Steps.transact(session, [{ topic: "as-given", partition: 0, records }], "commit")
      assert.deepStrictEqual(
        yield* Steps.recordsIn("as-given", records.length),
        records.map((record, offset) => ({ partition: 0, offset: BigInt(offset), ...record }))
      )
    }))

  it.effect("each batch is answered in the order given, with its own offset", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("order", { partitions: 3 })
      const { session } = yield* Steps.open("order")
      yield* Steps.transact(session, [Steps.batch("order", 1, "a", "b", "c")], "commit")
      const appended = yield* Steps.transact(session, [
        Steps.batch("order", 2, "d"),
        Steps.batch("order", 1, "e"),
        Steps.batch("order", 0, "f")
      ], "commit")
      // Offset 3 of partition 1 is the end marker of the first transaction.
      assert.deepStrictEqual(appended.map(({ baseOffset }) => baseOffset), [0n, 4n, 0n])
    }))

  it.effect("what is aborted is not seen, and what is committed is, over many transactions", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("many")
      const { session } = yield* Steps.open("many")
      const expected: Array<string> = []
      for (let index = 0; index < 50; index++) {
        const end = index % 3 === 2 ? "abort" : "commit"
        if (end === "commit") expected.push(`${index}`)
        yield* Steps.transact(session, [Steps.batch("many", 0, `${index}`)], end)
      }
      assert.deepStrictEqual(yield* Steps.valuesIn("many", expected.length), expected)
    }))
}

const none = { generationId: -1, memberId: "", groupInstanceId: null }

const offsets = (it: It): void => {
  it.effect("offsets are committed with the transaction, with their metadata", () =>
    Effect.gen(function*() {
      const embedded = yield* EmbeddedKafka.EmbeddedKafka
      yield* embedded.createTopic("positions", { partitions: 2 })
      const kafka = yield* KafkaDriver
      const { session } = yield* Steps.open("positions")
      const partitions = [{ topic: "positions", partition: 0 }, {
        topic: "positions",
        partition: 1
      }]
      const commit = (offset: bigint, metadata: string, end: "commit" | "abort") =>
        session.begin.pipe(
          Effect.andThen(Steps.persist(session.sendOffsets({
            groupId: "positions",
            membership: none,
            metadata,
            positions: [{ topic: "positions", partition: 1, offset }]
          }))),
          Effect.andThen(session.end(end))
        )
      const committed = Steps.persist(kafka.committedOffsets("positions", partitions))
      const nothing = { topic: "positions", partition: 0, offset: null, metadata: null }
      assert.deepStrictEqual(yield* committed, [nothing, { ...nothing, partition: 1 }])
      yield* commit(7n, "first", "commit")
      // A new session ends the old one's transactions, markers included, before it answers.
      yield* Effect.scoped(Steps.open("positions-other"))
      const seven = { ...nothing, partition: 1, offset: 7n, metadata: "first" }
      yield* Steps.until(committed, ([, second]) => second?.offset === 7n)
      assert.deepStrictEqual(yield* committed, [nothing, seven])
      yield* commit(9n, "second", "abort")
      assert.deepStrictEqual(yield* committed, [nothing, seven])
    }))
}

const evidence = (it: It): void => {
  it.effect("the end marker of a transaction is told: none yet, then commit or abort", () =>
    Effect.gen(function*() {
      const embedded = yield* EmbeddedKafka.EmbeddedKafka
      yield* embedded.createTopic("markers")
      const kafka = yield* KafkaDriver
      const one = yield* Steps.open("markers-one")
      const other = yield* Steps.open("markers-other")
      for (const end of ["commit", "abort", "commit"] as const) {
        yield* one.session.begin
        yield* other.session.begin
        const { baseOffset } = yield* Steps.sendOne(one.session, Steps.batch("markers", 0, "a"))
        yield* Steps.sendOne(other.session, Steps.batch("markers", 0, "b"))
        yield* other.session.end(end === "commit" ? "abort" : "commit")
        const marker = kafka.endMarker(
          { topic: "markers", partition: 0 },
          baseOffset,
          one.identity.producerId
        )
        assert.strictEqual(yield* marker, "none yet")
        yield* one.session.end(end)
        assert.strictEqual(yield* Steps.until(marker, (told) => told !== "none yet"), end)
      }
    }))

  it.effect("an offset that the log does not hold is gone", () =>
    Effect.gen(function*() {
      const embedded = yield* EmbeddedKafka.EmbeddedKafka
      yield* embedded.createTopic("gone")
      const kafka = yield* KafkaDriver
      const { session } = yield* Steps.open("gone")
      yield* Steps.transact(session, [Steps.batch("gone", 0, "a")], "commit")
      const marker = kafka.endMarker({ topic: "gone", partition: 0 }, 1_000n, 1n)
      assert.strictEqual(yield* marker, "gone")
    }))
}

const strangers = (it: It, driver: DriverLayer): void => {
  it.effect.each(
    [
      ["an HTTP server", Strangers.http, "Connect: NotKafka"],
      ["a server that says nothing", Strangers.silent, "Connect: NoAnswer"],
      ["a server that hangs up", Strangers.hangsUp, "Connect: NoAnswer"]
    ] as const
  )("%s is told in bounded time", ([, behave, expected]) =>
    Effect.gen(function*() {
      const address = yield* Strangers.listen(behave)
      const told = Effect.scoped(Steps.open("stranger", { requestTimeoutMillis: 500 })).pipe(
        Effect.flip,
        Effect.timeout("5 seconds"),
        Effect.provide(at(driver, [address]))
      )
      assert.strictEqual(Steps.told(yield* told), expected)
    }))
}
