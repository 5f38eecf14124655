/**
 * Finds requests on the wire whose scope has closed, by (transactional id, epoch), while the run
 * goes on: it keeps nothing but the newest epoch of each id.
 */
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"

type Entry = Pick<
  FaultProxyWireLog.Entry,
  "position" | "api" | "transactionalId" | "producerEpoch" | "answer"
>

interface Close {
  readonly transactionalId: string
  readonly position: number
  readonly isLast: boolean
}

export interface ClosedEpochs {
  /**
   * A scope of the id has closed when the wire log stood at `position`. After the last one, which
   * is its producer's, nothing of the id may come at all.
   */
  readonly close: (transactionalId: string, position: number, isLast: boolean) => void
  /** A producer of the id is made again. */
  readonly reopen: (transactionalId: string) => void
  /** Takes the log as it is now; entries that were taken before are left out. */
  readonly take: (entries: ReadonlyArray<Entry>) => void
  /** Requests that came too late, in words. */
  readonly late: Array<string>
  /** How many entries were looked at, and how many had been dropped from the log before. */
  readonly seen: { taken: number; missed: number }
}

export const make = (): ClosedEpochs => {
  const newest = new Map<string, number>()
  const least = new Map<string, number>()
  const late: Array<string> = []
  const seen = { taken: 0, missed: 0 }
  let closes: Array<Close> = []
  let next = 0

  const closeUpTo = (position: number): void => {
    for (const close of closes) {
      if (close.position > position) continue
      const { isLast, transactionalId } = close
      least.set(transactionalId, isLast ? Infinity : newest.get(transactionalId) ?? 0)
    }
    closes = closes.filter((close) => close.position > position)
  }

  const takeOne = ({ answer, api, position, producerEpoch, transactionalId }: Entry): void => {
    if (transactionalId === null) return
    const bound = least.get(transactionalId) ?? 0
    if (bound === Infinity || (producerEpoch !== null && producerEpoch < bound && api !== init)) {
      late.push(`${position}: ${api} of ${transactionalId}, epoch ${producerEpoch}`)
    }
    if (api === init && answer?.errorCode === 0 && answer.producerEpoch !== null) {
      newest.set(transactionalId, answer.producerEpoch)
    }
  }

  return {
    close: (transactionalId, position, isLast) => {
      closes.push({ transactionalId, position, isLast })
    },
    reopen: (transactionalId) => {
      closes = closes.filter((close) =>
        !(close.isLast && close.transactionalId === transactionalId)
      )
      if (least.get(transactionalId) === Infinity) {
        least.set(transactionalId, newest.get(transactionalId) ?? 0)
      }
    },
    take: (entries) => {
      for (const entry of entries) {
        if (entry.position < next) continue
        // The epoch that comes with its answer is needed first.
        if (entry.api === init && entry.answer === null) return
        seen.missed += entry.position - next
        seen.taken++
        next = entry.position + 1
        closeUpTo(entry.position)
        takeOne(entry)
      }
    },
    late,
    seen
  }
}

const init = "InitProducerId"
