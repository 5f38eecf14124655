import { assert, describe, it } from "@effect/vitest"
import type { Answer } from "../src/internal/answer.ts"
import { classify } from "../src/internal/failure.ts"
import type { Call, Exchange } from "../src/internal/socketGate.ts"

const answered = (...codes: ReadonlyArray<number>): Answer => ({
  _tag: "Read",
  codes,
  partitions: [],
  producer: null
})
const exchange = (apiKey: number, answer: Answer | null): Exchange => ({
  apiKey,
  apiVersion: 1,
  answer
})
const call = (
  exchanges: ReadonlyArray<Exchange>,
  rest: Partial<Omit<Call, "exchanges">> = {}
): Call => ({ exchanges: [...exchanges], socketFailure: null, notKafka: false, ...rest })

const named = (name: string, message: string, code?: number): Error =>
  Object.assign(new Error(message), { name, code })
const timeout = (apiKey: number) =>
  named("KafkaJSRequestTimeoutError", `Request X(key: ${apiKey}, version: 1) timed out`)

const [produce, metadata, coordinator, addPartitions, addOffsets, end, commitOffsets, versions] = [
  0,
  3,
  10,
  24,
  25,
  26,
  28,
  18
] as const
const wellRead: Answer = { _tag: "NotRead" }

const rows: ReadonlyArray<readonly [title: string, call: Call, error: Error, told: string]> = [
  [
    "no answer to the act, whatever was tried afterwards",
    call([exchange(produce, null), exchange(metadata, wellRead)], { socketFailure: "beforeTcp" }),
    named("KafkaJSConnectionError", "connect ECONNREFUSED"),
    "Produce: NoAnswer"
  ],
  [
    "an answer that came after its time-out does not count",
    call([exchange(end, answered(0))]),
    timeout(end),
    "EndTxn: NoAnswer"
  ],
  [
    "the act was refused",
    call([exchange(coordinator, answered(0)), exchange(end, answered(120))]),
    named("KafkaJSProtocolError", "Unknown error code 120", -99),
    "EndTxn: 120"
  ],
  [
    "the way to the act was refused: the act was not sent",
    call([exchange(coordinator, answered(53))]),
    named("KafkaJSGroupCoordinatorNotFound", "Failed to find group coordinator"),
    "FindCoordinator: 53"
  ],
  [
    "one broker knew the coordinator and the act was sent",
    call([exchange(coordinator, null), exchange(coordinator, answered(0)), exchange(end, null)]),
    timeout(end),
    "EndTxn: NoAnswer"
  ],
  [
    "the act before was done, the way to the next one was not found",
    call([exchange(addOffsets, answered(0)), exchange(coordinator, answered(15))]),
    named("KafkaJSGroupCoordinatorNotFound", "Failed to find group coordinator"),
    "FindCoordinator: 15"
  ],
  [
    "the offsets were refused, and another coordinator was looked up afterwards",
    call([exchange(commitOffsets, answered(0, 16)), exchange(coordinator, answered(0))]),
    named("KafkaJSProtocolError", "not coordinator", 16),
    "TxnOffsetCommit: 16"
  ],
  [
    "registered, then no connection to the leader",
    call([exchange(addPartitions, answered(0))], { socketFailure: "beforeTcp" }),
    named("KafkaJSConnectionError", "connect ECONNREFUSED"),
    "Connect: NotSent"
  ],
  [
    "a code that only kafkajs read",
    call([exchange(metadata, wellRead)]),
    named("KafkaJSProtocolError", "Unknown error code 999", -99),
    "Metadata: 999"
  ],
  [
    "a handshake of TLS that failed",
    call([], { socketFailure: "duringTls" }),
    named("KafkaJSConnectionError", "self-signed certificate"),
    "Connect: TlsFailed"
  ],
  [
    "an answer in another protocol",
    call([exchange(versions, null)], { notKafka: true, socketFailure: "connected" }),
    named("KafkaJSConnectionError", "Connection error"),
    "Connect: NotKafka"
  ],
  [
    "an answer to the act that cannot be read",
    call([exchange(end, { _tag: "Unreadable" })]),
    named("RangeError", "out of range"),
    "EndTxn: NotKafka"
  ],
  [
    "kafkajs refused the call",
    call([]),
    named("KafkaJSNonRetriableError", "Transaction state exception"),
    "Connect: Refused"
  ]
]

describe("failure", () => {
  it.each(rows)("%s", (_, happened, error, told) => {
    // kafkajs wraps what it does not repeat.
    const wrapped = new Error("wrapped", { cause: new Error("wrapped again", { cause: error }) })
    const { detail, failure, request } = classify(happened, wrapped, (text) => text)
    const how = failure._tag === "Answered" ? failure.code : failure._tag
    assert.strictEqual(`${request}: ${how}`, told)
    assert.strictEqual(detail, error.message)
  })

  it("a detail holds no message of the user's, no secret, and is short", () => {
    const retell = (text: string) => text.replaceAll("secret", "<redacted>")
    const detailOf = (message: string) => classify(call([]), new Error(message), retell).detail
    assert.strictEqual(detailOf('Invalid message without value: {"key":"k"}'), "Invalid message")
    assert.strictEqual(detailOf("wrong password secret"), "wrong password <redacted>")
    assert.isAtMost(detailOf("x".repeat(10_000)).length, 310)
  })
})
