/**
 * How long the first records of a transaction are held back, so that they do not meet the markers
 * of the last one.
 *
 * A commit is answered when it is decided; its markers are written after that, mostly within a few
 * milliseconds. A broker that is given the next transaction's first records before then looks again
 * every 20 ms (`add.partitions.to.txn.retry.backoff.ms`), so that being early by one millisecond
 * costs twenty. Nothing tells a client when the markers are written. What it can see is how long it
 * takes from the end of one transaction to the first answer in the next: for each hold, in whole
 * milliseconds, the average of that is kept. The best is used, and the others are tried now and
 * then, so that a cluster that becomes slower or quicker is followed. Neighbours alone would not
 * do: each millisecond too few only adds to the time, until the one that is enough.
 */

export interface MarkerWait {
  /** For how long, counted from the end of the last transaction, to hold back the next. */
  readonly choose: () => number
  /** Records that were sent so long after the end were answered so long after it. */
  readonly note: (sentAfterMillis: number, answeredAfterMillis: number) => void
}

/** Longer holds are not tried: most transactions would pay for what few would meet. */
const mostMillis = 8

/** What most brokers need; nothing is known at first. */
const firstMillis = 2

/** Each so many times another hold than the best is tried. */
const tryEvery = 16

/** How much of an average the newest time is: about the last forty tell. */
const newest = 0.05

/** What takes longer was delayed by something else than one look of the broker too many. */
const longestMillis = 40

export const make = (): MarkerWait => {
  const averages: Array<number> = []
  let best = firstMillis
  let turn = 0
  let tried = 0
  return {
    choose: () => {
      turn = (turn + 1) % tryEvery
      if (turn > 0) return best
      // A hold that is as long as what the best takes altogether cannot be better.
      const most = Math.min(mostMillis, Math.floor(averages[best] ?? 0))
      tried = tried >= most ? 0 : tried + 1
      return tried
    },
    note: (sentAfterMillis, answeredAfterMillis) => {
      const hold = Math.floor(sentAfterMillis)
      if (hold > mostMillis) return
      const took = Math.min(answeredAfterMillis, longestMillis)
      const average = averages[hold] ?? took
      averages[hold] = average + (took - average) * newest
      best = averages.reduce(
        (best, average, hold) => average < averages[best]! ? hold : best,
        hold
      )
    }
  }
}
