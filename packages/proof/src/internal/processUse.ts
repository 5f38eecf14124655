/**
 * What this process holds: sockets and timers, memory that is reachable, and fibers.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { createHook } from "node:async_hooks"
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** Open sockets, by kind. */
export const sockets: Effect.Effect<ReadonlyArray<string>> = Effect.sync(() =>
  process.getActiveResourcesInfo().filter((name) => /^(TCP|TLS)/.test(name)).sort()
)

/** Enough to see whose a timer is. */
const stackFrames = 16

/**
 * Notes every timer of this process from now on, until the scope closes; gives those that are still
 * there, each as the stack that made it. The test runner's own do not count.
 */
export const watchTimers: Effect.Effect<
  Effect.Effect<ReadonlyArray<string>>,
  never,
  Scope.Scope
> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const live = new Map<number, string>()
      const hook = createHook({
        init: (id, type) => {
          if (type === "Timeout") live.set(id, stackHere())
        },
        destroy: (id) => {
          live.delete(id)
        }
      })
      return { live, hook: hook.enable() }
    }),
    ({ hook }) => Effect.sync(() => hook.disable())
  ),
  ({ live }) =>
    Effect.sync(() =>
      [...live.values()].filter((stack) => !stack.includes("/node_modules/vitest/"))
    )
)

const stackHere = (): string => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = stackFrames
  const { stack = "" } = new Error("made")
  Error.stackTraceLimit = limit
  return stack
}

/** What there is more of than before. */
export const more = (
  now: ReadonlyArray<string>,
  before: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const rest = [...before]
  return now.filter((name) => {
    const at = rest.indexOf(name)
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
}

/** Where V8 keeps objects; what it compiles lies in other spaces, and grows for a long time. */
const objectSpaces: ReadonlySet<string> = new Set([
  "new_space",
  "old_space",
  "new_large_object_space",
  "large_object_space"
])

/** What objects take after a full collection. */
export const heapBytes: Effect.Effect<number> = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  collect()
  return getHeapSpaceStatistics().reduce(
    (sum, space) => objectSpaces.has(space.space_name) ? sum + space.space_used_size : sum,
    0
  )
})

/** Runs an effect and counts its fibers, those that it detached among them. */
export const countFibers = () => {
  const count = { started: 0, ended: 0 }
  const service: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => {
      count.started++
    },
    recordFiberEnd: () => {
      count.ended++
    }
  }
  return {
    count,
    within: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.provideService(effect, Metric.FiberRuntimeMetrics, service)
  }
}
