/**
 * What a reader under `read_committed` sees of what it has fetched.
 *
 * A broker answers such a reader with everything up to the last stable offset, records of aborted
 * transactions included, and with a list of those transactions; leaving them out is the client's
 * part. Every driver uses this one function for it.
 *
 * @since 0.1.0
 */

/**
 * A batch of records as it lies in the log, as far as the filter looks at it.
 *
 * **Details**
 *
 * *Shape*: `control` is `null` for records, and for a control batch the type of its marker;
 * `"other"` is a control record that does not end a transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogBatch {
  readonly lastOffset: bigint
  readonly producerId: bigint
  readonly isTransactional: boolean
  readonly control: "commit" | "abort" | "other" | null
}

/**
 * An aborted transaction as a fetch answers it: its producer, and the offset of its first record in
 * the partition.
 *
 * @category models
 * @since 0.1.0
 */
export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: bigint
}

/**
 * Leaves out the records of aborted transactions, and control batches.
 *
 * **Details**
 *
 * *Shape*: `batches` are those of one partition from one fetch, in the order of the log; `aborted`
 * is the list that came with them, in any order. Each fetch is filtered by itself, because a broker
 * lists an aborted transaction with every fetch that its records or its marker are in.
 *
 * A transaction of the list is under way from its first offset until the abort marker of its
 * producer, which may be in a later fetch. While it is, transactional batches of that producer are
 * left out. A commit marker ends nothing: it can only be another transaction's.
 *
 * *Source*: `CompletedFetch.nextFetchedRecord` of the Java client.
 *
 * @category filtering
 * @since 0.1.0
 */
export const filter = <B extends LogBatch>(
  batches: ReadonlyArray<B>,
  aborted: ReadonlyArray<AbortedTransaction>
): ReadonlyArray<B> => {
  const pending = isSorted(aborted) ? aborted : aborted.toSorted(byFirstOffset)
  const underWay = new Set<bigint>()
  let next = 0
  return batches.filter(({ control, isTransactional, lastOffset, producerId }) => {
    while (next < pending.length && pending[next]!.firstOffset <= lastOffset) {
      underWay.add(pending[next]!.producerId)
      next += 1
    }
    if (control !== null) {
      if (control === "abort") underWay.delete(producerId)
      return false
    }
    return !(isTransactional && underWay.has(producerId))
  })
}

const byFirstOffset = (left: AbortedTransaction, right: AbortedTransaction): number =>
  left.firstOffset < right.firstOffset ? -1 : left.firstOffset > right.firstOffset ? 1 : 0

const isSorted = (aborted: ReadonlyArray<AbortedTransaction>): boolean =>
  aborted.every((entry, i) => i === 0 || byFirstOffset(aborted[i - 1]!, entry) <= 0)
