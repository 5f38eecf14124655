import { assert, describe, it } from "@effect/vitest"
import * as ErrorCode from "@kafka-once/core/ErrorCode"
import { DriverError, Failure, type Request } from "@kafka-once/core/KafkaDriver"
import * as KafkaError from "@kafka-once/core/KafkaError"
import * as Schema from "effect/Schema"
import { isUnanswered, reasonOf, verdictOf } from "../src/internal/classify.ts"

const id = { transactionalId: "orders-0" }
const coded = { code: 1, name: "NAME" }

const reasons: ReadonlyArray<readonly [KafkaError.Reason, KafkaError.Recovery]> = [
  [
    new KafkaError.TimedOut({ request: "Produce", afterMillis: 6_499.6, last: "no answer" }),
    "retry"
  ],
  [new KafkaError.TransactionTimedOut({ ...id, limitMillis: 1 }), "retry"],
  [new KafkaError.CommitRefused({ ...id, last: "refused" }), "retry"],
  [new KafkaError.Unreachable({ sinceMillis: 999.84, last: "no answer" }), "retry"],
  [new KafkaError.Busy({ ...id, waiting: 1, waitedMillis: 1 }), "retry"],
  [new KafkaError.ProducerFenced({ ...id, producerId: 2n ** 62n, epoch: 3 }), "restart"],
  [new KafkaError.ProducerClosed(id), "restart"],
  [
    new KafkaError.NotAuthorized({ resource: "topic", name: "t", request: "Produce" }),
    "reconfigure"
  ],
  [new KafkaError.AuthenticationFailed({ detail: "no" }), "reconfigure"],
  [new KafkaError.TlsFailed({ detail: "no" }), "reconfigure"],
  [new KafkaError.NotKafka({ detail: "no" }), "reconfigure"],
  [new KafkaError.UnsupportedByDriver({ driver: "d", capability: "c" }), "reconfigure"],
  [new KafkaError.UnsupportedByBroker({ request: "Produce", ...coded }), "reconfigure"],
  [new KafkaError.Misconfigured({ setting: "s", value: "v", problem: "is wrong" }), "reconfigure"],
  [new KafkaError.UnknownTopic({ topic: "t" }), "reconfigure"],
  [new KafkaError.InvalidRecord({ index: 0, topic: "t", problem: "is wrong" }), "abort"],
  [
    new KafkaError.RecordRejected({ topic: "t", partition: 0, ...coded, records: 1, bytes: 1 }),
    "abort"
  ],
  [new KafkaError.TransactionAbortable({ request: "Produce", ...coded }), "retry"],
  [new KafkaError.BrokerRefused({ request: "Produce", ...coded }), "abort"],
  [new KafkaError.ConsumerFenced({ groupId: "g", ...coded }), "abort"],
  [new KafkaError.OffsetsSuperseded({ groupId: "g" }), "abort"],
  [
    new KafkaError.OffsetOutOfRange({ groupId: "g", topic: "t", partition: 0, position: 7n }),
    "reconfigure"
  ],
  [
    new KafkaError.UndecodableRecord({
      topic: "t",
      partition: 0,
      offset: 7n,
      part: "value",
      problem: "is not JSON"
    }),
    "reconfigure"
  ],
  [new KafkaError.TransactionTainted({ ...id, first: "it failed.", retryable: false }), "abort"],
  [new KafkaError.TransactionEnded(id), "abort"],
  [new KafkaError.NestedTransaction(id), "abort"],
  [
    new KafkaError.CommitOutcomeUnknown({
      ...id,
      producerId: 9_007_199_254_740_993n,
      epoch: 32_767,
      acknowledged: [{ topic: "t", partition: 1, offset: 9_223_372_036_854_775_807n }],
      offsets: [{ groupId: "g", token: "x", topic: "t", partition: 1, offset: 2n ** 60n }]
    }),
    "resolve"
  ]
]

const codec = Schema.toCodecJson(KafkaError.KafkaError)

describe("KafkaError", () => {
  it("every reason is in this test", () => {
    assert.strictEqual(new Set(reasons.map(([{ _tag }]) => _tag)).size, reasons.length)
    assert.strictEqual(reasons.length, KafkaError.Reason.members.length)
  })

  for (const [reason, recovery] of reasons) {
    it(`${reason._tag} says what happened, and one thing to do: ${recovery}`, () => {
      const error = new KafkaError.KafkaError({ operation: "send", reason })
      assert.strictEqual(reason.recovery, recovery)
      assert.strictEqual(error.recovery, recovery)
      assert.isAbove(reason.message.length, 15)
      assert.notMatch(reason.message, /undefined|\[object|NaN|\d\.\d+ ms/)
      assert.strictEqual(error.message, `send: ${reason.message}`)
      assert.instanceOf(error, Error)
    })

    it(`${reason._tag} is plain data that JSON carries to another process`, () => {
      const error = new KafkaError.KafkaError({ operation: "commit", reason })
      const text = JSON.stringify(Schema.encodeSync(codec)(error))
      const back = Schema.decodeUnknownSync(codec)(JSON.parse(text))
      assert.instanceOf(back, KafkaError.KafkaError)
      assert.strictEqual(back.message, error.message)
      assert.strictEqual(back.recovery, error.recovery)
      assert.deepEqual({ ...back.reason } as object, { ...reason } as object)
    })
  }

  it("a tainted transaction whose first failure was to be retried may be run again", () => {
    const tainted = new KafkaError.TransactionTainted({ ...id, first: "x.", retryable: true })
    assert.strictEqual(tainted.recovery, "retry")
  })
})

const requests: ReadonlyArray<Request> = [
  "Connect",
  "Metadata",
  "FindCoordinator",
  "InitProducerId",
  "AddPartitionsToTxn",
  "Produce",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn",
  "Fetch",
  "OffsetFetch"
]

const answered = (request: Request, code: number) =>
  new DriverError({ request, failure: Failure.Answered({ code }), detail: "detail" })

const about = {
  ...id,
  producerId: 1n,
  epoch: 0,
  topics: ["orders"],
  partition: 2,
  records: 3,
  bytes: 400,
  groupId: "billing"
}

const reasonByCode: ReadonlyArray<readonly [KafkaError.Reason["_tag"], ...Array<number>]> = [
  ["UnknownTopic", 3],
  ["Misconfigured", 17, 50],
  ["RecordRejected", 2, 10, 18, 44, 87],
  ["ConsumerFenced", 22, 25, 27, 82, 113],
  ["NotAuthorized", 29, 30, 31, 53],
  ["AuthenticationFailed", 33, 34, 58],
  ["UnsupportedByBroker", 35, 43],
  ["ProducerFenced", 47, 90],
  ["TransactionAbortable", 45, 48, 49, 55, 59, 120]
]

describe("the reason of a failed request", () => {
  for (const [tag, ...codes] of reasonByCode) {
    it(`is ${tag} for ${codes.map(ErrorCode.nameOf).join(", ")}`, () => {
      for (const code of codes) {
        assert.strictEqual(reasonOf(answered("Produce", code), about)._tag, tag)
      }
    })
  }

  it("exists for every code and every request, with a message", () => {
    for (const request of requests) {
      for (let code = -1; code < 140; code++) {
        const reason = reasonOf(answered(request, code), about)
        assert.isAbove(reason.message.length, 10)
        assert.notMatch(reason.message, /undefined/)
      }
    }
  })

  it("that must not be repeated never says retry by mistake", () => {
    for (const request of requests) {
      for (let code = -1; code < 140; code++) {
        if (verdictOf(answered(request, code)) !== "reconfigure") continue
        const { recovery } = reasonOf(answered(request, code), about)
        assert.notInclude(["retry", "resolve"], recovery, `${request} ${code}`)
      }
    }
  })

  it("without an answer is told by how it failed", () => {
    const failures: ReadonlyArray<readonly [Failure, string, string, boolean]> = [
      [Failure.NoAnswer(), "retry", "resolve", true],
      [Failure.NotSent(), "retry", "retry", false],
      [Failure.TlsFailed(), "reconfigure", "reconfigure", false],
      [Failure.NotKafka(), "reconfigure", "resolve", true],
      [Failure.Refused(), "abort and replace", "abort and replace", false]
    ]
    for (const [failure, elsewhere, atEnd, unanswered] of failures) {
      const error = (request: Request) => new DriverError({ request, failure, detail: "" })
      assert.strictEqual(verdictOf(error("Produce")), elsewhere)
      assert.strictEqual(verdictOf(error("EndTxn")), atEnd)
      assert.strictEqual(isUnanswered(error("EndTxn")), unanswered)
    }
  })
})
