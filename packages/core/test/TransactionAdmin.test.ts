import { assert, describe, it } from "@effect/vitest"
import { DriverError, Failure, KafkaDriver, type Request } from "@kafka-once/core/KafkaDriver"
import * as TransactionAdmin from "@kafka-once/core/TransactionAdmin"
import type {
  ProducerState,
  TopicState,
  TransactionAdminDriver,
  TransactionDescription
} from "@kafka-once/core/TransactionAdminDriver"
import * as AdminError from "@kafka-once/core/TransactionAdminError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as DriverDouble from "./support/DriverDouble.ts"

const answered = (request: Request, code: number) =>
  new DriverError({ request, failure: Failure.Answered({ code }), detail: "detail" })

const silent = (request: Request) =>
  new DriverError({ request, failure: Failure.NoAnswer(), detail: "silent" })

const fine: TopicState = { topic: "orders", code: 0, partitionCount: 1, leaderless: [] }

/** Open in partition 0 of "orders", an hour old; nobody knows the producer id. */
const open: ProducerState = {
  producerId: 7n,
  epoch: 3,
  lastSequence: 0,
  lastTimestampMillis: -3_600_000,
  coordinatorEpoch: null,
  startOffset: 5n
}

const described: TransactionDescription = {
  transactionalId: "orders-0",
  producerId: 7n,
  epoch: 3,
  state: "Ongoing",
  timeoutMillis: 60_000,
  startedAtMillis: 0,
  partitions: [{ topic: "orders", partition: 0 }]
}

const unknownId = Effect.fail(answered("DescribeTransactions", 105))

/** A cluster of two brokers where one transaction hangs. */
const hangs: TransactionAdminDriver = {
  brokers: Effect.succeed([1, 2]),
  topics: (names) => Effect.succeed((names ?? ["orders"]).map((topic) => ({ ...fine, topic }))),
  list: () => Effect.succeed([]),
  describe: () => unknownId,
  producers: (partitions) => Effect.succeed(partitions.map(() => Result.succeed([open]))),
  writeAbortMarker: () => Effect.void,
  fence: () => Effect.succeed({ producerId: 7n, epoch: 4 }),
  maxTransactionTimeoutMillis: () => Effect.succeed(900_000)
}

const target = { topic: "orders", partition: 0, ...open }

/** Runs under the test's clock, which is moved until the operation has ended. */
const run = <A>(
  driver: Partial<TransactionAdminDriver>,
  operation: (
    admin: TransactionAdmin.TransactionAdmin["Service"]
  ) => Effect.Effect<A, AdminError.TransactionAdminError>
) =>
  Effect.gen(function*() {
    const { driver: port } = yield* DriverDouble.make()
    const admin = yield* TransactionAdmin.make().pipe(
      Effect.provideService(
        KafkaDriver,
        KafkaDriver.of({ ...port, transactionAdmin: { ...hangs, ...driver } })
      )
    )
    const fiber = yield* Effect.forkChild(Effect.result(operation(admin)))
    yield* TestClock.adjust("16 seconds")
    const result = yield* Fiber.join(fiber)
    if (Result.isFailure(result)) return { reason: result.failure.reason, value: null }
    return { reason: null, value: result.success }
  })

const find = (admin: TransactionAdmin.TransactionAdmin["Service"]) => admin.findHanging()

describe("findHanging", () => {
  it.effect("finds what no coordinator knows, with all that an abort needs", () =>
    Effect.gen(function*() {
      const { value } = yield* run({}, find)
      assert.deepStrictEqual(value, [{ ...target, startOffset: 5n, transactionalId: null }])
    }))

  const known = [{ transactionalId: "orders-0", producerId: 7n, state: "Ongoing" }]
  const alive: Partial<TransactionAdminDriver> = {
    list: () => Effect.succeed(known),
    describe: () => Effect.succeed(described)
  }

  it.effect("leaves out what its coordinator has", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* run(alive, find)).value, [])
    }))

  const gone: ReadonlyArray<readonly [string, Partial<TransactionDescription>]> = [
    ["without the partition", { partitions: [{ topic: "orders", partition: 1 }] }],
    ["of another topic", { partitions: [{ topic: "other", partition: 0 }] }],
    ["that has ended", { state: "CompleteCommit", partitions: [] }],
    ["of the id's next producer id", { producerId: 8n }]
  ]

  it.effect.each([...gone])(
    "finds what is not in a transaction %s",
    ([, change]) =>
      Effect.gen(function*() {
        const { value } = yield* run(
          { ...alive, describe: () => Effect.succeed({ ...described, ...change }) },
          find
        )
        assert.deepInclude(value?.[0], { producerId: 7n, transactionalId: "orders-0" })
      })
  )

  it.effect("finds what its id was forgotten for between two questions", () =>
    Effect.gen(function*() {
      const { value } = yield* run({ ...alive, describe: () => unknownId }, find)
      assert.lengthOf(value ?? [], 1)
    }))

  it.effect("leaves out what has ended, or is another transaction, at the second look", () =>
    Effect.gen(function*() {
      for (const startOffset of [null, 6n]) {
        let looks = 0
        const { value } = yield* run({
          producers: (partitions) =>
            Effect.succeed(
              partitions.map(() =>
                Result.succeed([looks++ === 0 ? open : { ...open, startOffset }])
              )
            )
        }, find)
        assert.deepStrictEqual(value, [])
        assert.strictEqual(looks, 2)
      }
    }))

  it.effect("leaves out what is younger than the brokers allow a transaction to be", () =>
    Effect.gen(function*() {
      const old = { maxTransactionTimeoutMillis: () => Effect.succeed(3_700_000) }
      assert.deepStrictEqual((yield* run(old, find)).value, [])
    }))

  const unsure: ReadonlyArray<
    readonly [string, Partial<TransactionAdminDriver>, AdminError.Reason["_tag"]]
  > = [
    [
      "a broker does not answer",
      { list: (id) => id === 2 ? Effect.fail(silent("ListTransactions")) : Effect.succeed([]) },
      "Incomplete"
    ],
    [
      "a coordinator's partition has no leader",
      {
        topics: (names) =>
          Effect.succeed((names ?? ["orders"]).map((topic) => ({
            ...fine,
            topic,
            leaderless: topic === "__transaction_state" ? [3] : []
          })))
      },
      "Incomplete"
    ],
    [
      "there may be ids that it does not see",
      { describe: () => Effect.fail(answered("FindCoordinator", 53)) },
      "NotAuthorized"
    ],
    [
      "an id cannot be described",
      { ...alive, describe: () => Effect.fail(silent("DescribeTransactions")) },
      "NotInTime"
    ]
  ]

  it.effect.each([...unsure])(
    "says nothing where %s, and aborts nothing",
    ([, driver, tag]) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* run(driver, find)).reason?._tag, tag)
        const writeAbortMarker = () => Effect.die("a marker was written")
        const { reason } = yield* run(
          { ...driver, writeAbortMarker },
          (admin) => admin.abort(target)
        )
        assert.strictEqual(reason?._tag, tag)
      })
  )

  it.effect("names the partitions that could not be asked, beside what the others told", () =>
    Effect.gen(function*() {
      const { reason } = yield* run({
        topics: (names) =>
          Effect.succeed(
            names?.map((topic) => ({ ...fine, topic })) ?? [{ ...fine, partitionCount: 2 }]
          ),
        producers: (partitions) =>
          Effect.succeed(
            partitions.map(({ partition }) =>
              partition === 1
                ? Result.fail(answered("DescribeProducers", 29))
                : Result.succeed([open])
            )
          )
      }, find)
      assert(reason?._tag === "Incomplete")
      assert.deepStrictEqual(reason.missing.map(({ what }) => what), ['"orders" partition 1'])
      assert.lengthOf(reason.hanging, 1)
    }))
})

describe("abort", () => {
  // What is open in the partition once the first marker, whose answer was lost, is there.
  const after: ReadonlyArray<readonly [string, bigint | null]> = [
    ["does not write a second marker", null],
    ["does not hit the next transaction", 9n]
  ]

  it.effect.each([...after])(
    "%s when the first marker has done it",
    ([, startOffset]) =>
      Effect.gen(function*() {
        let markers = 0
        const { reason } = yield* run({
          producers: (partitions) =>
            Effect.sync(() =>
              partitions.map(() =>
                Result.succeed([markers === 0 ? open : { ...open, startOffset }])
              )
            ),
          writeAbortMarker: () =>
            Effect.suspend(() => {
              markers++
              return Effect.fail(silent("WriteTxnMarkers"))
            })
        }, (admin) => admin.abort(target))
        assert.isNull(reason)
        assert.strictEqual(markers, 1)
      })
  )

  it.effect("gives a producer that never had a marker the coordinator epoch 0", () =>
    Effect.gen(function*() {
      const epochs: Array<number> = []
      const writeAbortMarker: TransactionAdminDriver["writeAbortMarker"] = (marker) =>
        Effect.sync(() => {
          epochs.push(marker.coordinatorEpoch)
        })
      for (const coordinatorEpoch of [null, -1, 4]) {
        yield* run(
          { writeAbortMarker },
          (admin) => admin.abort({ ...target, coordinatorEpoch }, { force: true })
        )
      }
      assert.deepStrictEqual(epochs, [0, 0, 4])
    }))

  it.effect("by force looks at nothing", () =>
    Effect.gen(function*() {
      const never = () => Effect.die("looked")
      const { reason } = yield* run(
        { list: never, describe: never, producers: never, topics: never },
        (admin) => admin.abort(target, { force: true })
      )
      assert.isNull(reason)
    }))
})

describe("every operation", () => {
  it.effect("of a client that dies fails, and is no defect", () =>
    Effect.gen(function*() {
      const { reason } = yield* run(
        { describe: () => Effect.die(new Error("bug")) },
        (admin) => admin.describe("orders-0")
      )
      assert.strictEqual(reason?._tag, "Refused")
    }))

  it.effect("of a client that hangs ends in time", () =>
    Effect.gen(function*() {
      const { reason } = yield* run(
        { list: () => Effect.never, brokers: Effect.never },
        (admin) => admin.list()
      )
      assert.deepInclude(reason, { _tag: "NotInTime", afterMillis: 15_000 })
    }))

  it.effect("needs a driver that can ask it", () =>
    Effect.gen(function*() {
      const { driver } = yield* DriverDouble.make()
      const error = yield* Effect.flip(
        Effect.provideService(TransactionAdmin.make(), KafkaDriver, driver)
      )
      assert.strictEqual(error.reason._tag, "UnsupportedByDriver")
      assert.include(error.message, "KIP-664")
    }))

  it.effect.each(["0 millis", "-1 second", Duration.infinity])(
    "refuses the timeout %s",
    (timeout) =>
      Effect.gen(function*() {
        const { driver } = yield* DriverDouble.make()
        const error = yield* Effect.flip(
          TransactionAdmin.make({ timeout: timeout as Duration.Input }).pipe(
            Effect.provideService(
              KafkaDriver,
              KafkaDriver.of({ ...driver, transactionAdmin: hangs })
            )
          )
        )
        assert.strictEqual(error.reason._tag, "Misconfigured")
      })
  )
})

const producer = { topic: "orders", partition: 0, producerId: 2n ** 60n }
const told = { request: "ListTransactions", about: "broker 1" }

const reasons: ReadonlyArray<AdminError.Reason> = [
  new AdminError.NotInTime({ ...told, afterMillis: 1, last: "no answer" }),
  new AdminError.Incomplete({
    missing: [{ what: "broker 2", problem: "no answer" }],
    transactions: [{ transactionalId: "orders-0", producerId: 7n, state: "Ongoing" }],
    hanging: [{ ...target, startOffset: 5n, transactionalId: null }]
  }),
  new AdminError.NotAuthorized({ request: "WriteTxnMarkers", needs: "Alter on the cluster" }),
  new AdminError.UnknownTransactionalId({ transactionalId: "orders-0" }),
  new AdminError.NotOpen(producer),
  new AdminError.NotHanging({
    ...producer,
    transactionalId: "orders-0",
    state: "Ongoing",
    timeoutMillis: 60_000
  }),
  new AdminError.Outdated({ ...producer, name: "INVALID_PRODUCER_EPOCH" }),
  new AdminError.Refused({ ...told, problem: "UNKNOWN_SERVER_ERROR" })
]

describe("TransactionAdminError", () => {
  const codec = Schema.toCodecJson(AdminError.TransactionAdminError)

  it.each(reasons.map((reason) => [reason._tag, reason] as const))(
    "%s says what happened, and is plain data",
    (_, reason) => {
      const error = new AdminError.TransactionAdminError({ operation: "abort", reason })
      assert.strictEqual(error.message, `abort: ${reason.message}`)
      assert.notMatch(error.message, /undefined|\[object|NaN/)
      const text = JSON.stringify(Schema.encodeSync(codec)(error))
      const back = Schema.decodeUnknownSync(codec)(JSON.parse(text))
      assert.strictEqual(back.message, error.message)
      assert.strictEqual(back.recovery, error.recovery)
    }
  )
})
