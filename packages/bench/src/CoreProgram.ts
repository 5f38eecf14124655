/**
 * The works of the core in a process of their own: nothing else has compiled, allocated or listened
 * in it, and its garbage collector can be called.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import type { Length } from "./Arguments.ts"
import * as CoreWorks from "./CoreWorks.ts"
import type { Line } from "./Figure.ts"

const send = (lines: ReadonlyArray<Line>): Effect.Effect<void> =>
  Effect.callback((resume) => {
    process.send?.(lines, () => resume(Effect.void))
  })

const collect = (): void => {
  globalThis.gc?.()
}

const length = process.argv[2] as Length

// Whoever started it is gone.
process.once("disconnect", () => process.exit(1))

NodeRuntime.runMain(
  Effect.gen(function*() {
    const memory = yield* CoreWorks.memory(CoreWorks.stepOf(length), collect)
    const speed = yield* CoreWorks.speed(CoreWorks.courseOf(length))
    yield* send([...speed, ...memory])
    yield* Effect.sync(() => process.disconnect())
  })
)
