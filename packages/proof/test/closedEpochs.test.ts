import { assert, it } from "@effect/vitest"
import * as ClosedEpochs from "../src/internal/closedEpochs.ts"

type Entry = Parameters<ClosedEpochs.ClosedEpochs["take"]>[0][number]

const answer = (producerEpoch: number | null): Entry["answer"] => ({
  timeMillis: 0,
  errorCode: 0,
  producerId: 1n,
  producerEpoch,
  delivered: true,
  synthetic: false
})

const request = (position: number, api: string, producerEpoch: number): Entry => ({
  position,
  api,
  transactionalId: "id",
  producerEpoch,
  answer: answer(null)
})

/** On first contact the request itself has the epoch -1. */
const init = (position: number, epoch: number | null): Entry => ({
  position,
  api: "InitProducerId",
  transactionalId: "id",
  producerEpoch: -1,
  answer: epoch === null ? null : answer(epoch)
})

it("a request of an epoch that is still in use is not late", () => {
  const epochs = ClosedEpochs.make()
  epochs.close("id", 2, false)
  epochs.take([init(0, 0), request(1, "EndTxn", 0), request(2, "Produce", 0)])
  assert.deepStrictEqual(epochs.late, [])
})

it("a request of an epoch that was replaced before its scope closed is late after it", () => {
  const epochs = ClosedEpochs.make()
  epochs.close("id", 3, false)
  epochs.take([init(0, 0), request(1, "Produce", 0), init(2, 1), request(3, "Produce", 0)])
  assert.deepStrictEqual(epochs.late, ["3: Produce of id, epoch 0"])
})

it("before its scope closed it is not, also while a session replaces it", () => {
  const epochs = ClosedEpochs.make()
  epochs.take([init(0, 0), request(1, "Produce", 0), init(2, 1), request(3, "EndTxn", 0)])
  assert.deepStrictEqual(epochs.late, [])
})

it("after a producer has closed every request of its id is late, until it is made again", () => {
  const epochs = ClosedEpochs.make()
  epochs.close("id", 1, true)
  epochs.take([init(0, 0), request(1, "FindCoordinator", 0)])
  assert.deepStrictEqual(epochs.late, ["1: FindCoordinator of id, epoch 0"])
  epochs.reopen("id")
  epochs.take([init(2, 1), request(3, "Produce", 1)])
  assert.strictEqual(epochs.late.length, 1)
})

it("an entry is taken once, waits for its epoch, and one that was dropped is counted", () => {
  const epochs = ClosedEpochs.make()
  epochs.take([init(0, null), request(1, "Produce", 0)])
  assert.deepStrictEqual(epochs.seen, { taken: 0, missed: 0 })
  epochs.take([init(0, 0), request(1, "Produce", 0)])
  epochs.take([request(1, "Produce", 0), request(4, "Produce", 0)])
  assert.deepStrictEqual(epochs.seen, { taken: 3, missed: 2 })
})
