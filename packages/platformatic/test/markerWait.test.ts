import { assert, describe, it } from "@effect/vitest"
import * as MarkerWait from "../src/internal/markerWait.ts"

/** A broker that takes so long for its markers, and looks again each 20 ms. */
const answeredAfter = (markersMillis: number, sentAfterMillis: number): number => {
  const looks = sentAfterMillis >= markersMillis
    ? 0
    : Math.ceil((markersMillis - sentAfterMillis) / 20)
  return sentAfterMillis + 1 + looks * 20
}

const play = (
  wait: MarkerWait.MarkerWait,
  markersMillis: (nth: number) => number,
  transactions: number
) => {
  const holds: Array<number> = []
  let total = 0
  for (let nth = 0; nth < transactions; nth++) {
    const hold = wait.choose()
    // What lies between two transactions anyway.
    const sentAfter = Math.max(hold, 0.2)
    const answered = answeredAfter(markersMillis(nth), sentAfter)
    wait.note(sentAfter, answered)
    holds.push(hold)
    total += answered
  }
  return { holds, mean: total / transactions }
}

const usual = (holds: ReadonlyArray<number>): number =>
  [...holds].sort((a, b) => a - b)[Math.floor(holds.length / 2)]!

describe("the wait for markers", () => {
  it("begins with 2 ms", () => {
    assert.strictEqual(MarkerWait.make().choose(), 2)
  })

  it("is found, and saves nearly all of the broker's 20 ms", () => {
    const wait = MarkerWait.make()
    play(wait, () => 2.7, 500)
    const { holds, mean } = play(wait, () => 2.7, 500)
    assert.strictEqual(usual(holds), 3)
    assert.isBelow(mean, 7)
  })

  it("stays away where the markers are always written in time", () => {
    const { holds, mean } = play(MarkerWait.make(), () => 0.1, 500)
    assert.strictEqual(usual(holds), 0)
    // Another one is tried each sixteenth time.
    assert.isBelow(mean, 1.4)
  })

  it("follows a cluster that becomes slower, and quicker again", () => {
    const wait = MarkerWait.make()
    assert.strictEqual(usual(play(wait, () => 1.5, 500).holds), 2)
    play(wait, () => 4.5, 3_000)
    assert.strictEqual(usual(play(wait, () => 4.5, 500).holds), 5)
    play(wait, () => 0.1, 3_000)
    assert.isAtMost(usual(play(wait, () => 0.1, 500).holds), 1)
  })

  it("is chosen by what transactions take on average, not by the worst", () => {
    const wait = MarkerWait.make()
    // One in fifty takes 7 ms: a hold of 7 for all would cost more than it saves.
    const markers = (nth: number) => nth % 50 === 0 ? 6.5 : 0.5
    play(wait, markers, 2_000)
    assert.isAtMost(usual(play(wait, markers, 500).holds), 2)
  })

  it("is never longer than 8 ms, and learns nothing from who comes later", () => {
    const wait = MarkerWait.make()
    const { holds } = play(wait, () => 100, 1_000)
    assert.isAtMost(Math.max(...holds), 8)
    const other = MarkerWait.make()
    for (let nth = 0; nth < 100; nth++) other.note(500, 501)
    assert.strictEqual(other.choose(), 2)
  })
})
