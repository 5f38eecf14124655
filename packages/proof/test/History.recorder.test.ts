import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Event } from "../src/History.ts"
import * as HistoryFile from "../src/HistoryFile.ts"
import * as HistoryRecorder from "../src/HistoryRecorder.ts"
import * as Recorded from "../src/RecordedTransaction.ts"
import * as RecordStamp from "../src/RecordStamp.ts"

class Refused extends Data.TaggedError("Refused")<{ readonly recovery: string }> {}

/** What a use of a recorder has written, when its process has ended. */
const historyOf = <E>(
  use: (recorder: HistoryRecorder.HistoryRecorder) => Effect.Effect<unknown, E>
): Effect.Effect<ReadonlyArray<Event>, E | HistoryFile.HistoryError> =>
  Effect.scoped(Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "kafka-once-recorder-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const file = join(folder, "history.jsonl")
    yield* Effect.scoped(
      Effect.flatMap(HistoryRecorder.make({ file, run: 7, process: 3 }), use)
    )
    const events: Array<Event> = []
    yield* HistoryFile.read(file, (event) => {
      events.push(event)
    })
    return events
  }))

const tagsOf = (events: ReadonlyArray<Event>) => events.map(({ _tag }) => _tag)
const record = { topic: "t", partition: 1 }

describe("a recorder", () => {
  it.effect("writes what was asked for before it is done, and the answer after it", () =>
    Effect.gen(function*() {
      const events = yield* historyOf((recorder) =>
        Effect.gen(function*() {
          recorder.opened("id", { producerId: 12n, epoch: 4 })
          const transaction = Recorded.begin(recorder, "id", 2)
          yield* Recorded.send(transaction, [record, { ...record, partition: null }], (values) =>
            Effect.sync(() => {
              assert.deepInclude(RecordStamp.decode(values[1]!), { run: 7, process: 3, index: 1 })
              return [{ ...record, offset: 8 }, { ...record, offset: 9 }]
            }))
          Recorded.ending(transaction, "commit")
          Recorded.ended(transaction, "commit", "Committed", Exit.void)
        })
      )
      assert.deepStrictEqual(tagsOf(events), [
        "open",
        "init.ok",
        "begin",
        "send.inv",
        "send.ok",
        "end.inv",
        "end.ok",
        "result",
        "scope.closed",
        "exit"
      ])
      assert.deepInclude(events[2], { id: "id", session: 0, count: 2, transaction: 0, process: 3 })
      assert.deepInclude(events[4], { acks: [{ ...record, indices: [0, 1], offsets: [8, 9] }] })
      const times = events.map(({ t }) => t)
      assert.deepStrictEqual(times, times.toSorted((one, other) => one - other))
    }))

  it.effect("writes that a send that failed or was interrupted may have been done", () =>
    Effect.gen(function*() {
      const events = yield* historyOf((recorder) =>
        Effect.gen(function*() {
          const refused = () => Effect.fail(new Refused({ recovery: "abort" }))
          const transaction = Recorded.begin(recorder, "id", 4)
          yield* Effect.exit(Recorded.send(transaction, [record], refused))
          yield* Effect.exit(Recorded.send(transaction, [record], refused, () => true))
          const sending = yield* Effect.forkChild(
            Recorded.send(transaction, [record], () => Effect.never),
            { startImmediately: true }
          )
          yield* Fiber.interrupt(sending)
          const died = Recorded.send(transaction, [record], () => Effect.die("a defect"))
          yield* Effect.exit(died)
        })
      )
      const answers = events.filter(({ _tag }) => /send\.(ok|fail|info)/.test(_tag))
      assert.deepStrictEqual(
        answers.map((event) => [event._tag, "error" in event ? event.error : ""]),
        [["send.info", "Refused"], ["send.fail", "Refused"], ["send.info", "Interrupted"], [
          "send.info",
          "null"
        ]]
      )
    }))

  it.effect("dies of a transaction that sends more records than it has", () =>
    Effect.gen(function*() {
      let sent = 0
      yield* historyOf((recorder) =>
        Effect.gen(function*() {
          const transaction = Recorded.begin(recorder, "id", 1)
          const exit = yield* Effect.exit(
            Recorded.send(transaction, [record, record], () => Effect.sync(() => (sent += 1, [])))
          )
          assert.isTrue(Exit.hasDies(exit))
        })
      )
      assert.strictEqual(sent, 0)
    }))

  it.effect("tells an end by what the program was told", () =>
    Effect.gen(function*() {
      const failure = Exit.fail(new Refused({ recovery: "retry" }))
      const events = yield* historyOf((recorder) =>
        Effect.sync(() => {
          const ends = [
            ["commit", "Aborted", failure],
            ["abort", "Aborted", failure],
            ["commit", "Unknown", failure],
            ["commit", "Committed", Exit.void]
          ] as const
          for (const [decision, outcome, exit] of ends) {
            Recorded.ended(Recorded.begin(recorder, "id", 0), decision, outcome, exit)
          }
        })
      )
      assert.deepStrictEqual(tagsOf(events).filter((tag) => tag.startsWith("end.")), [
        "end.fail",
        "end.ok",
        "end.info",
        "end.ok"
      ])
      const [first] = events.filter(({ _tag }) => _tag === "result")
      assert.deepInclude(first, { error: "Refused", recovery: "retry", resolved: false })
    }))

  it.effect("resolves a transaction of another process in that one's name", () =>
    Effect.gen(function*() {
      const events = yield* historyOf((recorder) =>
        Effect.sync(() => Recorded.resolved(recorder, { process: 1, number: 5 }, "Aborted"))
      )
      assert.deepInclude(events.find(({ _tag }) => _tag === "result"), {
        process: 1,
        transaction: 5,
        outcome: "Aborted",
        resolved: true
      })
    }))
})
