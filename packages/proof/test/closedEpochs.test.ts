import { assert, describe, it } from "@effect/vitest"
import * as ClosedEpochs from "../src/internal/closedEpochs.ts"

type Entry = Parameters<ClosedEpochs.ClosedEpochs["take"]>[0][number]

const answer = (producerEpoch: number | null): Entry["answer"] => ({
  timeMillis: 0,
  errorCode: 0,
  producerId: producerEpoch === null ? null : 1n,
  producerEpoch,
  delivered: true,
  synthetic: false
})

const request = (position: number, api: string, producerEpoch: number): Entry => ({
  position,
  api,
  transactionalId: "id",
  producerId: 1n,
  producerEpoch,
  commit: api === "EndTxn" ? true : null,
  answer: answer(null)
})

/** On first contact the request itself has the epoch -1. */
const init = (position: number, epoch: number | null): Entry => ({
  ...request(position, "InitProducerId", -1),
  producerId: -1n,
  answer: epoch === null ? null : answer(epoch)
})

const lookup = (position: number): Entry => ({
  ...request(position, "FindCoordinator", 0),
  producerId: null,
  producerEpoch: null
})

/** At version 2 of the protocol an end gives the epoch of the next transaction. */
const endGiving = (position: number, epoch: number): Entry => ({
  ...request(position, "EndTxn", epoch - 1),
  answer: answer(epoch)
})

/** A producer that was made at 0; its first transaction begins at 1, and its scope closes. */
const madeWith = (registersBy: Parameters<typeof ClosedEpochs.make>[0], closedAt: number) => {
  const epochs = ClosedEpochs.make(registersBy)
  epochs.note("id", "make", 0)
  epochs.note("id", "begin", 1)
  epochs.note("id", "close", closedAt)
  return epochs
}

/** One transaction of the old protocol, from its begin at 1 until its scope has closed at 4. */
const onePassed = () => {
  const epochs = madeWith("AddPartitionsToTxn", 4)
  epochs.take([
    init(0, 0),
    request(1, "AddPartitionsToTxn", 0),
    request(2, "Produce", 0),
    request(3, "EndTxn", 0)
  ])
  return epochs
}

describe("requests of scopes that have closed", () => {
  it("those of two transactions of one epoch, one after the other, are not late", () => {
    const epochs = onePassed()
    epochs.note("id", "begin", 4)
    epochs.note("id", "close", 7)
    epochs.take([
      request(4, "AddPartitionsToTxn", 0),
      request(5, "Produce", 0),
      request(6, "EndTxn", 0)
    ])
    assert.deepStrictEqual(epochs.late, [])
    assert.deepStrictEqual(epochs.seen, { taken: 7, missed: 0 })
  })

  it("after a scope has closed anything of the id is late, until the next begin", () => {
    const epochs = onePassed()
    epochs.note("id", "begin", 6)
    epochs.take([
      request(4, "EndTxn", 0),
      request(5, "AddPartitionsToTxn", 0),
      request(6, "AddPartitionsToTxn", 0)
    ])
    assert.deepStrictEqual(epochs.late, [
      "4: EndTxn of id, epoch 0",
      "5: AddPartitionsToTxn of id, epoch 0"
    ])
  })

  it("after the next begin one of the same epoch is late until a partition is registered", () => {
    const epochs = onePassed()
    epochs.note("id", "begin", 4)
    epochs.take([
      request(4, "Produce", 0),
      request(5, "EndTxn", 0),
      request(6, "AddPartitionsToTxn", 0),
      request(7, "Produce", 0)
    ])
    assert.deepStrictEqual(epochs.late, ["4: Produce of id, epoch 0", "5: EndTxn of id, epoch 0"])
  })

  it("an epoch that was replaced before its scope closed is late ever after", () => {
    const epochs = madeWith("AddPartitionsToTxn", 4)
    epochs.note("id", "begin", 4)
    epochs.take([
      init(0, 0),
      request(1, "AddPartitionsToTxn", 0),
      init(2, 1),
      // Its scope is still open, while a session replaces it.
      request(3, "EndTxn", 0),
      request(4, "AddPartitionsToTxn", 1),
      request(5, "Produce", 0)
    ])
    assert.deepStrictEqual(epochs.late, ["5: Produce of id, epoch 0"])
  })

  it("where Produce registers, one with the epoch before the last end is late", () => {
    const epochs = madeWith("Produce", 3)
    epochs.note("id", "begin", 3)
    epochs.take([
      init(0, 0),
      request(1, "Produce", 0),
      endGiving(2, 1),
      request(3, "EndTxn", 1),
      request(4, "Produce", 0),
      request(5, "Produce", 1),
      request(6, "EndTxn", 1)
    ])
    assert.deepStrictEqual(epochs.late, ["3: EndTxn of id, epoch 1", "4: Produce of id, epoch 0"])
  })

  it("where Produce registers, an abort may come first: its Produce may have been lost", () => {
    const epochs = ClosedEpochs.make("Produce")
    epochs.note("id", "begin", 0)
    epochs.take([init(0, 0), { ...request(1, "EndTxn", 0), commit: false }])
    assert.deepStrictEqual(epochs.late, [])
  })

  it("while a producer is made it looks up and initialises, and nothing else", () => {
    const epochs = onePassed()
    epochs.note("id", "make", 5)
    epochs.take([
      lookup(4),
      lookup(5),
      init(6, 1),
      request(7, "AddPartitionsToTxn", 1)
    ])
    assert.deepStrictEqual(epochs.late, [
      "4: FindCoordinator of id, epoch null",
      "7: AddPartitionsToTxn of id, epoch 1"
    ])
  })

  it("an entry is taken once, waits for its epoch, and one that was dropped is counted", () => {
    const epochs = ClosedEpochs.make("AddPartitionsToTxn")
    epochs.note("id", "make", 0)
    epochs.take([init(0, null), lookup(1)])
    assert.deepStrictEqual(epochs.seen, { taken: 0, missed: 0 })
    epochs.take([init(0, 0), lookup(1)])
    epochs.take([lookup(1), lookup(4)])
    assert.deepStrictEqual(epochs.seen, { taken: 3, missed: 2 })
  })
})
