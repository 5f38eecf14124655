import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import * as PipelineRig from "./support/PipelineRig.ts"

const { pass, produce } = ConsumerRig
const { committed, visible } = PipelineRig

describe.each(PipelineRig.modes)("a pipeline, %s", (_mode, capabilities) => {
  it.effect("commits results and offsets together, each partition in order", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities })
      produce(double, 0, "a", "b", "c")
      produce(double, 1, "x")
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b", "0:2:c", "1:0:x"])
      assert.deepStrictEqual([committed(double, 0), committed(double, 1)], [3n, 1n])
    }))
})
