/** Whom InitProducerId is to expect, for each state in which the coordinator can be. */
import { assert, describe, it } from "@effect/vitest"
import { expectedOf } from "../src/internal/resumption.ts"

const id = 7n
const other = 8n

const ours = (epoch: number, leftOpen: 1 | 2 | null) => ({ producerId: id, epoch, leftOpen })

const identity = ([producerId, epoch]: readonly [bigint, number]) => ({ producerId, epoch })

type Row = readonly [
  why: string,
  ours: ReturnType<typeof ours>,
  found: readonly [producerId: bigint, epoch: number, state: string],
  expected: readonly [producerId: bigint, epoch: number] | "later" | null
]

const rows: ReadonlyArray<Row> = [
  ["nothing has happened since", ours(4, null), [id, 4, "CompleteCommit"], [id, 4]],
  ["its transaction is open still", ours(4, 2), [id, 4, "Ongoing"], [id, 4]],
  ["its end of version 1 was done", ours(4, 1), [id, 4, "CompleteCommit"], [id, 4]],
  ["its commit of version 2 was done", ours(4, 2), [id, 5, "CompleteCommit"], [id, 5]],
  ["and has its markers written", ours(4, 2), [id, 5, "PrepareCommit"], [id, 5]],
  ["its abort of version 2 was done", ours(4, 2), [id, 5, "CompleteAbort"], [id, 5]],
  ["the broker has timed it out, at version 1", ours(4, 1), [id, 5, "PrepareAbort"], [id, 5]],
  ["and on Kafka 4.0.0, at version 2", ours(4, 2), [id, 6, "CompleteAbort"], [id, 6]],
  // These two are told apart by the epoch before the last, which the coordinator knows.
  ["its InitProducerId was not answered", ours(4, null), [id, 5, "Empty"], [id, 4]],
  ["or another took over", ours(4, 1), [id, 5, "Empty"], [id, 4]],
  ["another has a transaction open", ours(4, null), [id, 5, "Ongoing"], null],
  ["another has one open that left one open", ours(4, 1), [id, 5, "Ongoing"], null],
  ["another has committed at version 1", ours(4, 1), [id, 5, "CompleteCommit"], [id, 4]],
  ["another has aborted at version 1", ours(4, null), [id, 5, "CompleteAbort"], [id, 4]],
  ["its InitProducerId after that was not answered", ours(4, 2), [id, 6, "Empty"], [id, 5]],
  ["or another ended it, and took over", ours(4, 1), [id, 6, "Empty"], [id, 5]],
  ["another has, that left nothing open", ours(4, null), [id, 6, "Empty"], null],
  ["another has, and has one open", ours(4, 2), [id, 6, "Ongoing"], null],
  ["and has aborted one of its own", ours(4, 1), [id, 6, "CompleteAbort"], null],
  ["and has committed one at version 2", ours(4, 2), [id, 6, "CompleteCommit"], null],
  ["another is far on", ours(4, 2), [id, 40, "CompleteAbort"], null],
  ["the coordinator has gone back", ours(4, 2), [id, 3, "Empty"], null],
  [
    "another id, while its own has epochs left",
    ours(32_765, 2),
    [other, 0, "CompleteCommit"],
    null
  ],
  ["its commit made a new id", ours(32_766, 2), [other, 0, "CompleteCommit"], [other, 0]],
  [
    "and will, when the markers are written",
    ours(32_766, 2),
    [id, 32_767, "PrepareCommit"],
    "later"
  ],
  ["or the abort of another will", ours(32_766, 1), [id, 32_767, "PrepareAbort"], "later"],
  ["its timeout made a new id", ours(32_766, 2), [other, 0, "CompleteAbort"], [other, 0]],
  ["its InitProducerId made one, unanswered", ours(32_766, 1), [other, 0, "Empty"], [id, 32_766]],
  ["another's made one", ours(32_766, null), [other, 0, "Ongoing"], null],
  ["another is on with the new id", ours(32_766, 2), [other, 1, "CompleteCommit"], null],
  ["the broker timed out the last epoch", ours(32_766, 1), [id, 32_767, "CompleteAbort"], [
    id,
    32_767
  ]]
]

describe("whom InitProducerId is to expect", () => {
  it.each(rows.map(([why, ...row]) => [why, row] as const))(
    "%s",
    (_why, [ours, found, expected]) => {
      const [producerId, epoch, state] = found
      const who = expectedOf(ours, { producerId, epoch, state })
      assert.deepStrictEqual(
        who === null || who === "later" ? who : identity([who.producerId, who.epoch]),
        expected === null || expected === "later" ? expected : identity(expected)
      )
    }
  )
})
