import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as PipelineRig from "./support/PipelineRig.ts"

const { pass, produce } = ConsumerRig

/** The value of a metric of this group, by its name. */
const valueOf = (groupId: string, id: string) =>
  Effect.map(Metric.snapshot, (snapshots) => {
    const found = snapshots.find((metric) =>
      metric.id === id && metric.attributes?.["messaging.consumer.group.name"] === groupId
    )
    if (found === undefined) return null
    return "count" in found.state ? Number(found.state.count) : Number(
      (found.state as { readonly value: number }).value
    )
  })

describe("what a pipeline tells of itself", () => {
  it.effect("counts what is consumed, committed and dead, and its failures", () =>
    Effect.gen(function*() {
      const groupId = "telling"
      const { double } = yield* PipelineRig.make({
        pipeline: {
          groupId,
          deadLetterTopic: "dead",
          process: (batch) =>
            Effect.gen(function*() {
              if (batch.records.some(({ value }) => value === "bad")) {
                return yield* Effect.fail("bad")
              }
              yield* PipelineRig.copy(batch)
            })
        }
      })
      produce(double, 0, "a", "bad", "c")
      yield* pass(5_000)
      assert.strictEqual(yield* valueOf(groupId, "kafka_once.pipeline.committed"), 3)
      assert.strictEqual(yield* valueOf(groupId, "kafka_once.pipeline.dead_letters"), 1)
      // The batch four times, and the record by itself.
      assert.strictEqual(yield* valueOf(groupId, "kafka_once.pipeline.failures"), 5)
      assert.strictEqual(yield* valueOf(groupId, "kafka_once.consumer.partitions"), 2)
      assert.isAtLeast((yield* valueOf(groupId, "messaging.client.consumed.messages"))!, 3)
      assert.isAtLeast((yield* valueOf(groupId, "kafka_once.pipeline.batch.duration"))!, 5)
    }))

  it.effect("a gauge says whether brokers answer", () =>
    Effect.gen(function*() {
      const groupId = "waiting"
      let isCut = false
      const double = yield* PipelineRig.makeDouble({
        chaos: (operation) => isCut && operation !== "close" ? Fault.NotSent() : null
      })
      yield* PipelineRig.start(double, { groupId })
      yield* pass(1_000)
      isCut = true
      produce(double, 0, "a")
      yield* pass(20_000)
      assert.strictEqual(yield* valueOf(groupId, "kafka_once.consumer.unreachable"), 1)
      isCut = false
      yield* pass(20_000)
      assert.strictEqual(yield* valueOf(groupId, "kafka_once.consumer.unreachable"), 0)
    }))

  it.effect("a span for each part, inside the transaction's", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const double = yield* PipelineRig.makeDouble()
      yield* Effect.withTracer(PipelineRig.start(double), tracer)
      produce(double, 1, "x", "y")
      yield* pass(1_000)
      const span = spans.find(({ name }) => name === "process input")
      assert(span !== undefined)
      assert.deepInclude(Object.fromEntries(span.attributes), {
        "messaging.operation.name": "process",
        "messaging.destination.name": "input",
        "messaging.destination.partition.id": "1",
        "messaging.consumer.group.name": "billing",
        "messaging.batch.message_count": 2
      })
      assert.match(
        span.parent._tag === "Some" && "name" in span.parent.value ? span.parent.value.name : "",
        /^transaction/
      )
    }))
})
