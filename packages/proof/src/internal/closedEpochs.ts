/**
 * Finds requests on the wire whose scope has closed, while the run goes on: it keeps nothing but
 * where each transactional id stands and its newest epoch.
 *
 * A clean end leaves a session of the old protocol with its epoch, so that the epoch alone does not
 * tell a late request from one of the next transaction. The order on the wire does: between the end
 * of a scope and the begin of the next one nothing of the id comes, and what comes first after the
 * begin registers a partition or looks something up.
 */
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"

type Entry = Pick<
  FaultProxyWireLog.Entry,
  "position" | "api" | "transactionalId" | "producerId" | "producerEpoch" | "commit" | "answer"
>

/**
 * What the program does with an id: it makes a producer, which is made; it begins a transaction,
 * whose scope then closes.
 */
type Step = "make" | "begin" | "close"

/** What makes a partition part of a transaction; at version 2 of the protocol Produce itself. */
export type Registration = "AddPartitionsToTxn" | "Produce"

export interface ClosedEpochs {
  /** The program takes a step with the id when the wire log stands at `position`. */
  readonly note: (transactionalId: string, step: Step, position: number) => void
  /** Takes the log as it is now; entries that were taken before are left out. */
  readonly take: (entries: ReadonlyArray<Entry>) => void
  /** Requests that came too late, in words. */
  readonly late: Array<string>
  /** How many entries were looked at, and how many had been dropped from the log before. */
  readonly seen: { taken: number; missed: number }
}

interface Note {
  readonly transactionalId: string
  readonly step: Step
  readonly position: number
}

interface Identity {
  readonly producerId: bigint
  readonly epoch: number
}

interface Standing {
  step: Step
  /** Whether a partition or a group has been made part of the transaction that is open. */
  isRegistered: boolean
  /** The newest identity that was given or used. */
  newest: Identity | null
  /** The newest one when the last scope closed: an older one is late. */
  bound: Identity | null
}

export const make = (registersBy: Registration): ClosedEpochs => {
  const standings = new Map<string, Standing>()
  const late: Array<string> = []
  const seen = { taken: 0, missed: 0 }
  let notes: Array<Note> = []
  let next = 0

  const standingOf = (transactionalId: string): Standing => {
    const known = standings.get(transactionalId)
    if (known !== undefined) return known
    const made: Standing = { step: "close", isRegistered: false, newest: null, bound: null }
    standings.set(transactionalId, made)
    return made
  }

  const goOnTo = (position: number): void => {
    const due = notes.findIndex((note) => note.position > position)
    const passed = due < 0 ? notes.splice(0) : notes.splice(0, due)
    for (const { step, transactionalId } of passed) {
      const standing = standingOf(transactionalId)
      standing.step = step
      standing.isRegistered = false
      if (step === "close") standing.bound = standing.newest
    }
  }

  const takeOne = (entry: Entry): void => {
    const { api, position, producerEpoch, transactionalId } = entry
    if (transactionalId === null) return
    const standing = standingOf(transactionalId)
    if (isOlder(entry, standing.bound) || !isInPlace(entry, standing, registersBy)) {
      late.push(`${position}: ${api} of ${transactionalId}, epoch ${producerEpoch}`)
    }
    if (isRegistration(api, registersBy)) standing.isRegistered = true
    standing.newest = newestOf(entry, standing.newest)
  }

  return {
    note: (transactionalId, step, position) => {
      notes.push({ transactionalId, step, position })
    },
    take: (entries) => {
      for (const entry of entries) {
        if (entry.position < next) continue
        // The epoch that comes with its answer is needed first.
        if (entry.api === init && entry.answer === null) return
        seen.missed += entry.position - next
        seen.taken++
        next = entry.position + 1
        goOnTo(entry.position)
        takeOne(entry)
      }
    },
    late,
    seen
  }
}

const init = "InitProducerId"
const lookups: ReadonlySet<string> = new Set([init, "FindCoordinator"])

const isRegistration = (api: string, registersBy: Registration): boolean =>
  api === registersBy || api === "AddOffsetsToTxn" ||
  (registersBy === "Produce" && api === "TxnOffsetCommit")

const isInPlace = (
  { api, commit }: Entry,
  { isRegistered, step }: Standing,
  registersBy: Registration
): boolean => {
  if (step === "close") return false
  if (lookups.has(api)) return true
  if (step === "make") return false
  // What registers may be lost on a connection that others share, and is then aborted unseen.
  const isAbort = api === "EndTxn" && commit === false
  return isRegistered || isRegistration(api, registersBy) || (isAbort && registersBy === "Produce")
}

const isOlder = ({ api, producerEpoch, producerId }: Entry, bound: Identity | null): boolean =>
  api !== init && bound !== null && producerEpoch !== null &&
  producerId === bound.producerId && producerEpoch < bound.epoch

/**
 * The identity that an answer gives, which at version 2 of the protocol comes with every end, or
 * that a request uses.
 */
const newestOf = (
  { answer, producerEpoch, producerId }: Entry,
  newest: Identity | null
): Identity | null => {
  const given = answer?.errorCode === 0 ? identityOf(answer.producerId, answer.producerEpoch) : null
  if (given !== null) return given
  const used = identityOf(producerId, producerEpoch)
  if (used === null) return newest
  return newest?.producerId === used.producerId && newest.epoch > used.epoch ? newest : used
}

const identityOf = (producerId: bigint | null, epoch: number | null): Identity | null =>
  producerId === null || producerId < 0n || epoch === null || epoch < 0
    ? null
    : { producerId, epoch }
