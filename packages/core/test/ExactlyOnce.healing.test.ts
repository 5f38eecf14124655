import { assert, describe, it } from "@effect/vitest"
import { SessionEvent } from "@kafka-once/core/ConsumerDriver"
import type { Capabilities } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as ConsumerDouble from "./support/ConsumerDouble.ts"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import { type DriverDouble, Fault, type Operation } from "./support/DriverDouble.ts"
import * as PipelineRig from "./support/PipelineRig.ts"

const { pass, produce } = ConsumerRig
const { visible } = PipelineRig

const silence = ConsumerDouble.failure("Fetch", null)

/** A pipeline over a cluster that is cut off, with a record that came after that. */
const cut = Effect.fnUntraced(function*(capabilities: Partial<Capabilities>) {
  let isCut = false
  let answered: Operation | null = null
  const double = yield* PipelineRig.makeDouble({
    capabilities,
    chaos: (operation) =>
      isCut && operation !== "close" && operation !== answered ? Fault.NotSent() : null
  })
  yield* PipelineRig.start(double)
  yield* pass(1_000)
  isCut = true
  produce(double, 0, "a")
  return {
    double,
    /** Lets one kind of request through. */
    answer: (operation: Operation) => {
      answered = operation
    },
    heal: () => {
      isCut = false
    }
  }
})

const firstAfter = (double: DriverDouble, operation: Operation, calls: number) =>
  double.calls.slice(calls).find((call) => call.operation === operation)?.atMillis

describe.each(PipelineRig.modes)(
  "a pipeline whose cluster answers again, %s",
  (_, capabilities) => {
    it.effect("goes on at once when its member is the first to hear it", () =>
      Effect.gen(function*() {
        const { double, heal } = yield* cut(capabilities)
        const [session] = double.consumers
        session!.tell(SessionEvent.Disturbed({ error: silence }))
        // Pauses and probes are 5 s apart by now.
        yield* pass(120_000)
        heal()
        session!.tell(SessionEvent.Recovered())
        yield* pass(300, 50)
        assert.deepStrictEqual(visible(double), ["0:0:a"])
      }))
  }
)

describe("a pause that ends when somebody else hears a broker", () => {
  it.effect("is the one before joining again", () =>
    Effect.gen(function*() {
      const { answer, double, heal } = yield* cut({ groupFencing: true })
      // Until its producer knows, too, and asks from time to time.
      yield* pass(60_000)
      double.consumers[0]!.die(silence)
      yield* pass(120_000)
      const attempts = double.count("openConsumer")
      while (double.count("openConsumer") === attempts) yield* pass(50, 50)
      // The next attempt of its own would be 5 s later.
      const before = double.calls.length
      answer("probe")
      yield* pass(12_000, 50)
      const probed = firstAfter(double, "probe", before)
      const joining = firstAfter(double, "openConsumer", before)
      assert.isAtMost(joining!, probed! + 50)
      heal()
      yield* pass(12_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
    }))

  it.effect("is the one before a partition's id is initialised again", () =>
    Effect.gen(function*() {
      const [[, capabilities]] = PipelineRig.modes
      const double = yield* PipelineRig.makeDouble({ capabilities })
      double.always("openSession", Fault.NotSent())
      yield* PipelineRig.start(double)
      produce(double, 0, "a")
      const [session] = double.consumers
      session!.tell(SessionEvent.Disturbed({ error: silence }))
      const attempts = double.count("openSession")
      yield* pass(300_000)
      assert.isAbove(double.count("openSession"), attempts)
      double.heal()
      session!.tell(SessionEvent.Recovered())
      yield* pass(300, 50)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
    }))
})
