import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Suspicion from "./suspicion.ts"
import { moveInto, type Part, type WorkLane } from "./workLane.ts"

/**
 * What bounds one transaction's records.
 */
export interface Bounds {
  readonly maxRecords: number
  readonly maxBytes: number
  readonly withinMillis: number
}

/**
 * Where records are gathered from.
 */
export interface Source {
  readonly lanes: Map<string, WorkLane>
  readonly bounds: Bounds
  /** Completed when something has changed: records, a lane, the end. */
  wake: Deferred.Deferred<void>
  /** Counts the gatherings, so that no lane is always the first. */
  turn: number
}

/**
 * Tells whoever gathers to look again.
 */
export const wake = (source: Source): void => {
  const waiting = source.wake
  source.wake = Deferred.makeUnsafe()
  Deferred.doneUnsafe(waiting, Effect.void)
}

/**
 * Gathers the records of one transaction: until there are enough, or some time after the first.
 * Answers with what it has when `isInterrupted` says that there is something else to do: what is
 * gathered is out of its lanes' hands, and most of them go on.
 *
 * Records that are under suspicion go alone, in turn with the others, so that one partition's
 * poison holds up no other.
 */
export const gather = (
  source: Source,
  isInterrupted: () => boolean
): Effect.Effect<ReadonlyArray<Part>> =>
  Effect.gen(function*() {
    const parts = new Map<WorkLane, Part>()
    source.turn += 1
    let until: number | null = null
    for (;;) {
      const changed = source.wake
      if (isInterrupted()) return [...parts.values()]
      const now = yield* Clock.currentTimeMillis
      const suspect = parts.size === 0 ? dueSuspect(source, now) : null
      if (suspect !== null) return [takeSuspect(source, suspect)]
      const isFull = collect(source, parts)
      if (parts.size > 0) until ??= now + source.bounds.withinMillis
      if (isFull || (until !== null && now >= until)) return [...parts.values()]
      const waitUntil = until ?? nextDue(source)
      yield* waitUntil === null
        ? Deferred.await(changed)
        : Effect.timeoutOption(Deferred.await(changed), Math.max(1, waitUntil - now))
    }
  })

const isReady = ({ hand, lane }: WorkLane): boolean => hand !== null && lane.state === "owned"

const suspectsOf = (source: Source): ReadonlyArray<WorkLane> =>
  [...source.lanes.values()].filter((work) => work.suspicion._tag !== "Trusted" && isReady(work))

const dueSuspect = (source: Source, now: number): WorkLane | null => {
  const due = suspectsOf(source).filter(({ dueAtMillis }) => dueAtMillis <= now)
  if (due.length === 0) return null
  // Every other turn belongs to the rest, where there is any.
  const hasOthers = [...source.lanes.values()].some((work) =>
    work.suspicion._tag === "Trusted" && isReady(work)
  )
  return hasOthers && source.turn % 2 === 0 ? null : due[source.turn % due.length]!
}

const nextDue = (source: Source): number | null => {
  const times = suspectsOf(source).map(({ dueAtMillis }) => dueAtMillis)
  return times.length === 0 ? null : Math.min(...times)
}

const takeSuspect = ({ bounds }: Source, work: WorkLane): Part => {
  const part = emptyPart(work)
  moveInto(
    part,
    Math.min(bounds.maxRecords, Suspicion.limit(work.suspicion)),
    bounds.maxBytes
  )
  return part
}

const emptyPart = (work: WorkLane): Part => ({
  work,
  records: [],
  next: 0n,
  bytes: 0,
  passing: null
})

/**
 * Takes what the lanes have, and tells whether it is enough.
 */
const collect = (source: Source, parts: Map<WorkLane, Part>): boolean => {
  const { maxBytes, maxRecords } = source.bounds
  const lanes = [...source.lanes.values()]
  for (let i = 0; i < lanes.length; i++) {
    const work = lanes[(i + source.turn) % lanes.length]!
    if (work.suspicion._tag !== "Trusted" || !isReady(work)) continue
    const [records, bytes] = sizeOf(parts)
    if (records >= maxRecords || bytes >= maxBytes) return true
    const part = parts.get(work) ?? emptyPart(work)
    parts.set(work, part)
    moveInto(part, maxRecords - records, maxBytes - bytes)
  }
  const [records, bytes] = sizeOf(parts)
  return records >= maxRecords || bytes >= maxBytes
}

const sizeOf = (parts: Map<WorkLane, Part>): readonly [records: number, bytes: number] => {
  let records = 0
  let bytes = 0
  for (const part of parts.values()) {
    records += part.records.length
    bytes += part.bytes
  }
  return [records, bytes]
}
