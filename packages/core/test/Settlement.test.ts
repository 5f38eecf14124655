import { assert, describe, it } from "@effect/vitest"
import {
  BrokerRefused,
  CommitOutcomeUnknown,
  CommitRefused,
  KafkaError,
  ProducerFenced,
  TransactionTainted,
  TransactionTimedOut
} from "@kafka-once/core/KafkaError"
import * as Settlement from "@kafka-once/core/Settlement"
import { TransactionOutcome } from "@kafka-once/core/TransactionOutcome"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"

const id = { transactionalId: "orders-0" }
const commit = (reason: KafkaError["reason"]) => new KafkaError({ operation: "commit", reason })

const taint = commit(new TransactionTainted({ ...id, first: "a send failed.", retryable: false }))
const fenced = commit(new ProducerFenced({ ...id, producerId: 1n, epoch: 0 }))
const expired = commit(new TransactionTimedOut({ ...id, limitMillis: 1 }))
const refused = commit(new CommitRefused({ ...id, last: "refused" }))
const rejected = commit(new BrokerRefused({ request: "Produce", code: 1, name: "?" }))
const unknown = new CommitOutcomeUnknown({
  ...id,
  producerId: 1n,
  epoch: 0,
  acknowledged: [],
  offsets: []
})

const untouched: Settlement.Ledger = {
  taint: null,
  fenced: null,
  expired: null,
  interrupted: false
}

const timeout = new Cause.TimeoutError()

type Row = readonly [
  title: string,
  exit: Exit.Exit<unknown, unknown>,
  ledger: Partial<Settlement.Ledger>,
  tag: Settlement.Decision["_tag"],
  failure?: KafkaError | null
]

const rows: ReadonlyArray<Row> = [
  ["a success of which a send failed aborts", Exit.succeed(1), { taint }, "Abort", taint],
  ["a success that took too long aborts", Exit.succeed(1), { expired }, "Abort", expired],
  [
    "a tainted one that took too long tells of the send",
    Exit.succeed(1),
    {
      taint,
      expired
    },
    "Abort",
    taint
  ],
  ["a success on a fenced session is left", Exit.succeed(1), { fenced }, "Leave", fenced],
  ["a failure on a fenced session is left as it is", Exit.fail("own"), { fenced }, "Leave", null],
  ["a fence wins over a taint", Exit.succeed(1), { fenced, taint }, "Leave", fenced],
  ["a KafkaError to retry aborts", Exit.fail(refused), {}, "Abort", null],
  ["a fatal KafkaError aborts", Exit.fail(rejected), {}, "Abort", null],
  ["the body's own error aborts", Exit.fail("own"), {}, "Abort", null],
  ["the user's own timeout aborts", Exit.fail(timeout), {}, "Abort", null],
  ["a defect aborts", Exit.die("defect"), {}, "Abort", null],
  ["an interrupted body aborts", Exit.interrupt(1), {}, "Abort", null],
  [
    "an interruption before the commit point aborts",
    Exit.succeed(1),
    {
      interrupted: true
    },
    "Abort",
    null
  ],
  ["a success of which nothing failed commits", Exit.succeed(1), {}, "Commit"]
]

describe("Settlement.decide", () => {
  for (const [title, exit, ledger, tag, failure] of rows) {
    it(title, () => {
      const decision = Settlement.decide(exit, { ...untouched, ...ledger })
      assert.strictEqual(decision._tag, tag)
      if (decision._tag !== "Commit") assert.strictEqual(decision.failure, failure)
    })
  }

  it("a failure that commitWhen chooses commits", () => {
    const decision = Settlement.decide(Exit.fail("chosen"), untouched, Exit.isFailure)
    assert.strictEqual(decision._tag, "Commit")
  })

  it("a success that commitWhen does not choose aborts", () => {
    const decision = Settlement.decide(Exit.succeed(1), untouched, () => false)
    assert.strictEqual(decision._tag, "Abort")
  })

  it("nothing that failed on the way is committed by commitWhen", () => {
    const always = () => true
    for (const ledger of [{ taint }, { expired }, { fenced }, { interrupted: true }]) {
      for (const exit of [Exit.succeed(1), Exit.fail("own"), Exit.die("defect")]) {
        const decision = Settlement.decide(exit, { ...untouched, ...ledger }, always)
        assert.notStrictEqual(decision._tag, "Commit")
      }
    }
    assert.strictEqual(Settlement.decide(Exit.interrupt(1), untouched, always)._tag, "Abort")
  })
})

const committed = TransactionOutcome.Committed({ proof: "answer" })
const empty = TransactionOutcome.Committed({ proof: "nothing sent" })
const aborted = TransactionOutcome.Aborted()
const unproven = TransactionOutcome.Unknown({ reason: unknown })
const never = () => false
const always = () => true

describe("Settlement.mayRunAgain", () => {
  it("never after an unknown outcome, whatever the failure and retryWhile", () => {
    for (const error of [refused, rejected, "own", commit(unknown)]) {
      assert.isFalse(Settlement.mayRunAgain(error, [aborted, unproven], always))
    }
    assert.isFalse(Settlement.mayRunAgain(commit(unknown), [], always))
  })

  it("never after a transaction that has committed something", () => {
    assert.isFalse(Settlement.mayRunAgain(refused, [committed, aborted], always))
    for (const proof of ["end marker", "committed offset"] as const) {
      const outcome = TransactionOutcome.Committed({ proof })
      assert.isFalse(Settlement.mayRunAgain(refused, [outcome], always))
    }
  })

  it("not for a fatal failure or the body's own", () => {
    for (const error of [rejected, fenced, "own", timeout]) {
      assert.isFalse(Settlement.mayRunAgain(error, [aborted], never))
    }
  })

  it("for a failure whose recovery is retry, once everything is aborted or empty", () => {
    assert.isTrue(Settlement.mayRunAgain(refused, [aborted, empty], never))
    assert.isTrue(Settlement.mayRunAgain(expired, [], never))
  })

  it("for what retryWhile allows, once everything is aborted", () => {
    assert.isTrue(Settlement.mayRunAgain("own", [aborted], (error) => error === "own"))
    assert.isFalse(Settlement.mayRunAgain("other", [aborted], (error) => error === "own"))
  })
})
