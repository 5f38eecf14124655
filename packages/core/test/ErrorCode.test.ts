import { assert, describe, it } from "@effect/vitest"
import * as ErrorCode from "@kafka-once/core/ErrorCode"
import type { Request } from "@kafka-once/core/KafkaDriver"

/**
 * Written from the handlers of the Java client and the coordinator's answers, apart from the table
 * under test: R retry, RC refresh, A abort, A+b abort and replace, F fatal by fencing, C fatal by
 * configuration or rights, S success, U the outcome is unknown.
 */
const short = {
  R: "retry",
  RC: "refresh",
  A: "abort",
  "A+b": "abort and replace",
  F: "restart",
  C: "reconfigure",
  S: "success",
  U: "resolve"
} as const

type Cell = keyof typeof short | ""

const columns = [
  "InitProducerId",
  "AddPartitionsToTxn",
  "Produce",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn"
] as const satisfies ReadonlyArray<Request>

type Line = readonly [code: number, name: string, ...cells: ReadonlyArray<Cell>]

// An empty cell is a code that the request does not get, or that no handler expects.
const lines: ReadonlyArray<Line> = [
  [-1, "UNKNOWN_SERVER_ERROR", "", "", "", "", "", "U"],
  [2, "CORRUPT_MESSAGE", "", "", "R", "", "", ""],
  [3, "UNKNOWN_TOPIC_OR_PARTITION", "", "RC", "RC", "", "RC", ""],
  [5, "LEADER_NOT_AVAILABLE", "", "", "RC", "", "", ""],
  [6, "NOT_LEADER_OR_FOLLOWER", "", "", "RC", "", "", ""],
  [7, "REQUEST_TIMED_OUT", "R", "R", "R", "R", "RC", "U"],
  [10, "MESSAGE_TOO_LARGE", "", "", "A", "", "", ""],
  [12, "OFFSET_METADATA_TOO_LARGE", "", "", "", "", "A", ""],
  [13, "NETWORK_EXCEPTION", "", "", "R", "", "", "U"],
  [14, "COORDINATOR_LOAD_IN_PROGRESS", "RC", "RC", "", "RC", "RC", "R"],
  [15, "COORDINATOR_NOT_AVAILABLE", "RC", "RC", "", "RC", "RC", "U"],
  [16, "NOT_COORDINATOR", "RC", "RC", "", "RC", "RC", "U"],
  [18, "RECORD_LIST_TOO_LARGE", "", "", "A", "", "", ""],
  [19, "NOT_ENOUGH_REPLICAS", "", "", "R", "", "", "U"],
  [20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "", "", "R", "", "", "U"],
  [22, "ILLEGAL_GENERATION", "", "", "", "A", "A", ""],
  [25, "UNKNOWN_MEMBER_ID", "", "", "", "A", "A", ""],
  [27, "REBALANCE_IN_PROGRESS", "", "", "", "A", "A", ""],
  [29, "TOPIC_AUTHORIZATION_FAILED", "C", "C", "C", "C", "C", "C"],
  [30, "GROUP_AUTHORIZATION_FAILED", "C", "C", "C", "C", "C", "C"],
  [31, "CLUSTER_AUTHORIZATION_FAILED", "C", "C", "C", "C", "C", "C"],
  [35, "UNSUPPORTED_VERSION", "C", "C", "C", "C", "C", "C"],
  [43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "C", "C", "C", "C", "C", "C"],
  [44, "POLICY_VIOLATION", "", "", "A", "", "", ""],
  [45, "OUT_OF_ORDER_SEQUENCE_NUMBER", "", "", "A+b", "", "", ""],
  [46, "DUPLICATE_SEQUENCE_NUMBER", "", "", "S", "", "", ""],
  [47, "INVALID_PRODUCER_EPOCH", "F", "F", "F", "F", "F", "F"],
  [48, "INVALID_TXN_STATE", "", "A+b", "A+b", "A+b", "A+b", "U"],
  [49, "INVALID_PRODUCER_ID_MAPPING", "", "A+b", "A+b", "A+b", "A+b", "U"],
  [50, "INVALID_TRANSACTION_TIMEOUT", "C", "", "", "", "", ""],
  [51, "CONCURRENT_TRANSACTIONS", "R", "R", "R", "R", "R", "R"],
  [53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "C", "C", "C", "C", "C", "C"],
  [55, "OPERATION_NOT_ATTEMPTED", "", "A", "", "", "", ""],
  [56, "KAFKA_STORAGE_ERROR", "", "", "RC", "", "", "U"],
  [58, "SASL_AUTHENTICATION_FAILED", "C", "C", "C", "C", "C", "C"],
  [59, "UNKNOWN_PRODUCER_ID", "", "A+b", "A+b", "A+b", "A+b", "U"],
  [82, "FENCED_INSTANCE_ID", "", "", "", "A", "A", ""],
  [87, "INVALID_RECORD", "", "", "A", "", "", ""],
  [90, "PRODUCER_FENCED", "F", "F", "F", "F", "F", "F"],
  [113, "STALE_MEMBER_EPOCH", "", "", "", "A", "A", ""],
  [120, "TRANSACTION_ABORTABLE", "A", "A", "A", "A", "A", "U"]
]

describe("ErrorCode", () => {
  for (const [code, name, ...cells] of lines) {
    it(`${name} (${code}) means what the protocol says, for each request`, () => {
      assert.strictEqual(ErrorCode.nameOf(code), name)
      for (const [i, request] of columns.entries()) {
        const cell = cells[i]!
        if (cell === "") continue
        assert.strictEqual(ErrorCode.classify(request, code), short[cell], request)
      }
    })
  }

  it("no code but a clear refusal lets a commit be called aborted or repeated as not done", () => {
    const clear = new Set([14, 51])
    for (let code = -1; code <= 200; code++) {
      if (code === 0) continue
      const verdict = ErrorCode.classify("EndTxn", code)
      if (verdict === "retry") assert(clear.has(code), `${code}`)
      else assert.include(["resolve", "restart", "reconfigure"], verdict, `${code}`)
    }
  })

  it("a code that nobody knows is an unknown outcome of a commit, and an abort elsewhere", () => {
    for (const code of [0, 77, 999, 32_767]) {
      assert.strictEqual(ErrorCode.classify("EndTxn", code), "resolve")
      for (const request of ["Produce", "InitProducerId", "TxnOffsetCommit"] as const) {
        assert.strictEqual(ErrorCode.classify(request, code), "abort and replace")
      }
    }
    assert.strictEqual(ErrorCode.nameOf(999), "UNKNOWN(999)")
  })

  it("no code is in the table twice", () => {
    const codes = ErrorCode.table.map(({ code }) => code)
    assert.strictEqual(new Set(codes).size, codes.length)
    assert.strictEqual(new Set(ErrorCode.table.map(({ name }) => name)).size, codes.length)
  })

  it("only a Produce can be a success already", () => {
    for (const { verdicts } of ErrorCode.table) {
      for (const [request, verdict] of Object.entries(verdicts)) {
        if (verdict === "success") assert.strictEqual(request, "Produce")
      }
    }
  })
})
