/**
 * What this process holds: sockets and timers, memory that is reachable, and fibers.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** Open sockets and timers, by kind. */
export const resources: Effect.Effect<ReadonlyArray<string>> = Effect.sync(() =>
  process.getActiveResourcesInfo().filter((name) => /^(TCP|TLS|Timeout)/.test(name)).sort()
)

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

/** The heap in use after a full collection. */
export const heapBytes: Effect.Effect<number> = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  collect()
  return process.memoryUsage().heapUsed
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
