import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import { type DriverDouble, Fault, text } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

const canary = "canary-3f9c"

const offsets = Offsets.make(1n)

const recording = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

const named = (spans: ReadonlyArray<Tracer.Span>, name: string) => {
  const found = spans.filter((span) => span.name === name)
  assert.lengthOf(found, 1, name)
  return found[0]!
}

const parentOf = (span: Tracer.Span) =>
  span.parent._tag === "Some" ? span.parent.value.spanId : null

/** A tracer that notes, of each frame under which something runs, the stack that was captured. */
const noting = () => {
  const stacks = new Map<string, string | undefined>()
  const tracer = Tracer.make({
    span: (options) => new Tracer.NativeSpan(options),
    context: (primitive, fiber) => {
      let frame = fiber.getRef(References.CurrentStackFrame)
      for (; frame !== undefined; frame = frame.parent) stacks.set(frame.name, frame.stack())
      return primitive["~effect/Effect/evaluate"](fiber)
    }
  })
  return { stacks, tracer }
}

const valueOf = (id: string, attributes: Record<string, string>) =>
  Effect.map(Metric.snapshot, (all) => {
    const found = all.find((metric) =>
      metric.id === id &&
      Object.entries(attributes).every(([key, value]) => metric.attributes?.[key] === value)
    )
    // The states of counters and histograms are plain numbers by name, which their types are not.
    return found === undefined ? undefined : found.state as unknown as Record<string, number>
  })

describe.each(Rig.forms)("telemetry, %s", (_name, form) => {
  it.effect("each step is a span below the transaction's, with what it was about", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const { spans, tracer } = recording()
      yield* form(producer, (transaction) =>
        Effect.andThen(
          transaction.send([Rig.record("a"), Rig.record("b")]),
          transaction.sendOffsets(offsets)
        )).pipe(Effect.withSpan("program"), Effect.withTracer(tracer))
      yield* form(
        producer,
        (transaction) => Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("own"))
      ).pipe(
        Effect.flip,
        Effect.withTracer({ ...tracer })
      )
      const first = spans.slice(0, spans.findIndex(({ name }) => name === "commit") + 1)
      const whole = named(first, "transaction")
      const common = (operation: string) => ({
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.kafka.transactional_id": "orders-0"
      })
      const expected = {
        "begin": common("begin"),
        "send orders": {
          ...common("send"),
          "messaging.operation.type": "send",
          "messaging.destination.name": "orders",
          "messaging.batch.message_count": 2
        },
        "send_offsets input": {
          ...common("send_offsets"),
          "messaging.operation.type": "settle",
          "messaging.destination.name": "input",
          "messaging.consumer.group.name": "billing"
        },
        "commit": common("commit")
      }
      for (const [name, attributes] of Object.entries(expected)) {
        const span = named(first, name)
        assert.strictEqual(parentOf(span), whole.spanId, name)
        assert.deepStrictEqual(Object.fromEntries(span.attributes), attributes)
        // What a consumer finds in a record is no span of ours here.
        assert.strictEqual(span.kind, "client")
        assert.strictEqual(span.status._tag, "Ended")
      }
      assert.strictEqual(parentOf(whole), first[0]!.spanId)
      assert.deepStrictEqual(Object.fromEntries(whole.attributes), {
        ...common("transaction"),
        "kafka_once.outcome": "Committed"
      })
      const second = spans.slice(first.length)
      assert.strictEqual(
        named(second, "transaction").attributes.get("kafka_once.outcome"),
        "Aborted"
      )
      assert.strictEqual(parentOf(named(second, "abort")), named(second, "transaction").spanId)
      assert(spans.every(({ status }) => status._tag === "Ended"))
    }))

  it.effect("what goes to several topics has no destination", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const { spans, tracer } = recording()
      yield* form(producer, (transaction) =>
        Effect.andThen(
          transaction.send([Rig.record("a"), { topic: "audit", value: "b" }]),
          transaction.sendOffsets(Offsets.make(1n, {
            others: [{ topic: "other", partition: 0, lastProcessed: 1n }]
          }))
        )).pipe(Effect.withTracer(tracer))
      for (const name of ["send", "send_offsets"]) {
        const { attributes } = named(spans, name)
        assert.strictEqual(attributes.get("messaging.operation.name"), name)
        assert.isFalse(attributes.has("messaging.destination.name"))
      }
    }))

  it.effect("a span of what has failed names the error, by the broker's name if it has one", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: { commitRetry: false } })
      const errorTypes = (fault: (double: DriverDouble) => void, fails: boolean) =>
        Effect.gen(function*() {
          const { spans, tracer } = recording()
          fault(double)
          const body = (transaction: Transaction.Transaction["Service"]) =>
            Effect.andThen(
              transaction.send([Rig.record("a")]),
              fails ? Effect.fail("own") : Effect.void
            )
          yield* Rig.timed(form(producer, body).pipe(Effect.withTracer(tracer)))
          return Object.fromEntries(
            spans.flatMap(({ attributes, name }) => {
              const type = attributes.get("error.type")
              return type === undefined ? [] : [[name, type]]
            })
          )
        })
      assert.deepStrictEqual(
        yield* errorTypes((double) => double.script("send", Fault.Answer({ code: 10 })), false),
        { "send orders": "MESSAGE_TOO_LARGE", "transaction": "MESSAGE_TOO_LARGE" }
      )
      assert.deepStrictEqual(
        yield* errorTypes((double) => double.script("commit", Fault.Answer({ code: 48 })), false),
        { commit: "CommitRefused", transaction: "CommitRefused" }
      )
      assert.deepStrictEqual(
        yield* errorTypes((double) => double.script("abort", Fault.Answer({ code: 48 })), true),
        { abort: "INVALID_TXN_STATE", transaction: "_OTHER" }
      )
      assert.deepStrictEqual(yield* errorTypes(() => {}, false), {})
    }))

  it.effect("a begin and a sending of offsets that have failed name the error", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const failed = (body: (transaction: Rig.Open) => Effect.Effect<void, unknown>) =>
        Effect.gen(function*() {
          const { spans, tracer } = recording()
          yield* Rig.timed(form(producer, body).pipe(Effect.withTracer(tracer)))
          return spans.flatMap(({ attributes, name, status }) => {
            const isFailed = status._tag === "Ended" && Exit.isFailure(status.exit)
            return isFailed ? [[name, attributes.get("error.type")]] : []
          })
        })
      double.script("sendOffsets", Fault.Answer({ code: 22 }))
      assert.deepStrictEqual(yield* failed((transaction) => transaction.sendOffsets(offsets)), [
        // It succeeded in all that the body saw.
        ["transaction", "TransactionTainted"],
        ["send_offsets input", "ILLEGAL_GENERATION"]
      ])
      double.script("send", Fault.Answer({ code: 90 }))
      yield* Rig.timed(form(producer, (transaction) => transaction.send([Rig.record("a")])))
      // What has fenced the producer refuses every begin from now on.
      assert.deepStrictEqual(yield* failed(() => Effect.void), [
        ["transaction", "ProducerFenced"],
        ["begin", "ProducerFenced"]
      ])
    }))

  it.effect("no span of ours captures a stack trace", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const { stacks, tracer } = noting()
      yield* form(producer, (transaction) =>
        Effect.andThen(
          transaction.send([Rig.record("a")]),
          transaction.sendOffsets(offsets)
        )).pipe(Effect.withSpan("program"), Effect.withTracer(tracer))
      yield* form(producer, (transaction) =>
        Effect.andThen(transaction.send([Rig.record("b")]), Effect.fail("own"))).pipe(
          Effect.flip,
          Effect.withTracer(tracer)
        )
      // A program's own span has one, so that an empty stack is not the tracer's doing.
      assert.include(stacks.get("program"), "Telemetry.test.ts")
      for (const name of ["begin", "send_offsets input", "commit", "abort"]) {
        assert.isTrue(stacks.has(name), name)
      }
      assert.strictEqual(stacks.has("transaction"), form === Rig.bracketForm)
      const captured = [...stacks].filter(([name, stack]) =>
        name !== "program" && stack !== undefined
      )
      assert.deepStrictEqual(captured, [])
    }))

  it.effect("a tracer that throws costs no transaction, and no permit", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          if (!options.name.startsWith("transaction")) return span
          span.end = () => {
            throw new Error("a broken tracer")
          }
          return span
        }
      })
      yield* form(producer, (transaction) => transaction.send([Rig.record("a")])).pipe(
        Effect.withTracer(tracer)
      )
      yield* form(producer, (transaction) => transaction.send([Rig.record("b")]))
      assert.deepStrictEqual(double.visible(), ["a", "b"])
    }))

  it.effect("no record's content is in a log, a span, an event or an error", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make()
      const { spans, tracer } = recording()
      const logs: Array<unknown> = []
      const errors: Array<unknown> = []
      const logger = Logger.make((options) => {
        logs.push([options.message, options.cause])
      })
      const record = { topic: "orders", key: canary, value: canary, headers: { h: canary } }
      for (
        const [operation, fault] of [
          ["send", Fault.Answer({ code: 10 })],
          ["send", Fault.Die()],
          ["send", Fault.Hang()],
          ["commit", Fault.Hang()],
          ["abort", Fault.Die()],
          ["commit", Fault.Die()]
        ] as const
      ) {
        if (operation === "abort") double.script("send", Fault.Answer({ code: 10 }))
        double.script(operation, fault)
        const { exit } = yield* Rig.timed(
          form(producer, (transaction) => transaction.send([record])).pipe(
            Effect.withTracer(tracer),
            Effect.provide(Logger.layer([logger]))
          )
        )
        errors.push(exit, exit._tag === "Failure" ? exit.cause.reasons.map(String) : null)
      }
      const wrong = yield* Effect.exit(
        form(producer, (transaction) => transaction.send([{ ...record, headers: canary as never }]))
      )
      errors.push(wrong, Rig.kafkaError(wrong).message)
      const seen = show([
        logs,
        errors,
        events,
        spans.map((span) => [
          span.name,
          [...span.attributes],
          span.status,
          (span as { events?: unknown }).events
        ])
      ])
      assert.include(seen, "MESSAGE_TOO_LARGE")
      assert.notInclude(seen, canary)
    }))

  it.effect("transactions are counted by outcome, with records, bytes and sessions", () =>
    Effect.gen(function*() {
      const id = `counted-${_name}`
      const own = { "messaging.kafka.transactional_id": id }
      const { double, producer } = yield* Rig.make({
        producer: { transactionalId: id },
        capabilities: { commitRetry: false }
      })
      yield* form(producer, (transaction) => transaction.send([Rig.record("a"), Rig.record("b")]))
      yield* Effect.flip(
        form(
          producer,
          (transaction) => Effect.andThen(transaction.send([Rig.record("c")]), Effect.fail("own"))
        )
      )
      double.script("commit", Fault.ActNoAnswer())
      double.always("endMarker", Fault.NoAnswer())
      yield* Rig.timed(form(producer, (transaction) => transaction.send([Rig.record("d")])))
      const count = (outcome: string) => valueOf("kafka_once.transactions", { ...own, outcome })
      assert.strictEqual((yield* count("committed"))?.["count"], 1)
      assert.strictEqual((yield* count("aborted"))?.["count"], 1)
      assert.strictEqual((yield* count("unknown"))?.["count"], 1)
      assert.strictEqual((yield* valueOf("messaging.client.sent.messages", own))?.["count"], 4)
      assert.isAbove((yield* valueOf("kafka_once.sent.bytes", own))?.["count"] ?? 0, 4)
      assert.strictEqual((yield* valueOf("kafka_once.sessions.opened", own))?.["count"], 2)
      assert.strictEqual((yield* valueOf("kafka_once.sessions.retired", own))?.["count"], 1)
      assert.strictEqual((yield* valueOf("kafka_once.transactions.open", own))?.["value"], 0)
      assert.strictEqual((yield* valueOf("kafka_once.transaction.duration", own))?.["count"], 3)
    }))

  it.effect("a transaction counts as open while its body runs, and each run again as a retry", () =>
    Effect.gen(function*() {
      const id = `open-${_name}`
      const own = { "messaging.kafka.transactional_id": id }
      const { double, producer } = yield* Rig.make({
        producer: { transactionalId: id },
        capabilities: { commitRetry: false }
      })
      double.script("commit", Fault.NoAnswer())
      const gauge = valueOf("kafka_once.transactions.open", own)
      const { exit } = yield* Rig.timed(
        form(producer, (transaction) =>
          Effect.gen(function*() {
            assert.strictEqual((yield* gauge)?.["value"], 1)
            yield* transaction.send([Rig.record("a")])
          })).pipe(Transaction.retry(Schedule.recurs(3)))
      )
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(double.visible(), ["a"])
      assert.strictEqual((yield* gauge)?.["value"], 0)
      assert.strictEqual((yield* valueOf("kafka_once.transaction.retries", own))?.["count"], 1)
    }))

  it.effect("settling and retiring are told as events", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make()
      double.script("send", Fault.ActNoAnswer())
      yield* Rig.timed(form(producer, (transaction) => transaction.send([Rig.record("a")])))
      assert.deepStrictEqual(
        events.map(({ _tag }) => _tag),
        ["SessionRetired", "SessionOpened", "TransactionSettled"]
      )
      const settled = events.at(-1)!
      assert(settled._tag === "TransactionSettled")
      assert.strictEqual(settled.records, 1)
    }))

  it.effect("the trace travels in the headers only where it is asked for", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ producer: { traceHeaders: true } })
      const { spans, tracer } = recording()
      yield* form(
        producer,
        (transaction) => transaction.send([{ ...Rig.record("a"), headers: { own: "1" } }])
      ).pipe(
        Effect.withTracer(tracer)
      )
      const send = named(spans, "send orders")
      assert.strictEqual(send.kind, "producer")
      assert.deepStrictEqual(
        double.broker.written()[0]!.headers.map(([name, value]) => [name, text(value)]),
        [["own", "1"], ["traceparent", `00-${send.traceId}-${send.spanId}-01`]]
      )
      const plain = yield* Rig.make()
      yield* form(plain.producer, (transaction) => transaction.send([Rig.record("a")]))
      assert.deepStrictEqual(plain.double.broker.written()[0]!.headers, [])
    }))
})

/** Everything that can be read of some values, errors and byte arrays included. */
const show = (value: unknown): string => {
  const seen = new Set<object>()
  const go = (value: unknown): string => {
    if (value instanceof Uint8Array) return text(value)
    if (typeof value !== "object" || value === null) return String(value)
    if (seen.has(value)) return ""
    seen.add(value)
    const message = value instanceof Error ? value.message : ""
    return `${message} ${
      Object.entries(value).map(([key, part]) => `${key}: ${go(part)}`).join("\n")
    }`
  }
  return go(value)
}
