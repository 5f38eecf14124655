import { assert, describe, it } from "@effect/vitest"
import { type Event, events, initial, State, step } from "@kafka-once/core/TransactionState"

interface Trail {
  readonly states: ReadonlyArray<State>
  readonly events: ReadonlyArray<Event>
}

const maxDepth = 6

/** Calls `visit` for every possible sequence of events from a state, to the given depth. */
const explore = (from: State, depth: number, visit: (trail: Trail) => void): number => {
  let count = 0
  const go = (trail: Trail): void => {
    count += 1
    visit(trail)
    const { _tag } = trail.states.at(-1)!
    // What no event changes is checked by itself.
    if (trail.events.length === depth || _tag === "Dead" || _tag === "Closed") return
    for (const event of events) {
      const next = step(trail.states.at(-1)!, event)
      if (next === null) continue
      go({ states: [...trail.states, next], events: [...trail.events, event] })
    }
  }
  go({ states: [from], events: [] })
  return count
}

const show = (trail: Trail): string => trail.events.join(" ")

/** The part of a trail since the last `Began`. */
const lastTransaction = (trail: Trail): Trail => {
  const at = trail.events.lastIndexOf("Began")
  return at < 0
    ? trail
    : { events: trail.events.slice(at), states: trail.states.slice(at) }
}

const clean = true
const unclean = false

const arrows: ReadonlyArray<readonly [from: State, event: Event, to: State]> = [
  [State.Uninitialised(), "Initialised", State.Ready()],
  [State.Ready(), "Began", State.Open({ clean })],
  [State.Open({ clean }), "BodySucceeded", State.Draining({ clean, intent: "commit" })],
  [State.Open({ clean }), "SendFailed", State.Tainted({ clean })],
  [State.Open({ clean }), "Unanswered", State.Open({ clean: unclean })],
  [State.Open({ clean }), "BodyFailed", State.Draining({ clean, intent: "abort" })],
  [State.Tainted({ clean }), "BodySucceeded", State.Draining({ clean, intent: "abort" })],
  [State.Tainted({ clean }), "BodyFailed", State.Draining({ clean, intent: "abort" })],
  [State.Tainted({ clean }), "SendFailed", State.Tainted({ clean })],
  [State.Tainted({ clean }), "Unanswered", State.Tainted({ clean: unclean })],
  [
    State.Draining({ clean, intent: "commit" }),
    "SendFailed",
    State.Draining({ clean, intent: "abort" })
  ],
  [
    State.Draining({ clean, intent: "commit" }),
    "BodyFailed",
    State.Draining({ clean, intent: "abort" })
  ],
  [
    State.Draining({ clean, intent: "commit" }),
    "Unanswered",
    State.Draining({ clean: unclean, intent: "commit" })
  ],
  [State.Draining({ clean, intent: "commit" }), "Drained", State.Committing({ clean })],
  [State.Draining({ clean, intent: "abort" }), "Drained", State.Aborting({ clean })],
  [State.Draining({ clean, intent: "commit" }), "DrainExpired", State.Retired()],
  [State.Draining({ clean, intent: "abort" }), "DrainExpired", State.Retired()],
  [State.Committing({ clean }), "Ended", State.Ready()],
  [State.Committing({ clean: unclean }), "Ended", State.Retired()],
  [State.Committing({ clean }), "CommitRefused", State.Retired()],
  [State.Committing({ clean }), "CommitUnanswered", State.Unknown()],
  [State.Committing({ clean }), "Unanswered", State.Committing({ clean: unclean })],
  [State.Aborting({ clean }), "Ended", State.Ready()],
  [State.Aborting({ clean: unclean }), "Ended", State.Retired()],
  [State.Aborting({ clean }), "AbortFailed", State.Retired()],
  [State.Unknown(), "Resolved", State.Retired()],
  [State.Retired(), "Initialised", State.Ready()]
]

describe("TransactionState", () => {
  it("nothing is committed after a send has failed in the same transaction", () => {
    const count = explore(initial, maxDepth, (trail) => {
      const { events, states } = lastTransaction(trail)
      if (events[0] !== "Began" || !events.includes("SendFailed")) return
      const after = states.slice(events.indexOf("SendFailed") + 1)
      assert(after.every(({ _tag }) => _tag !== "Committing"), show(trail))
    })
    assert.isAbove(count, 500)
  })

  it("a send that fails while everything settles turns the commit into an abort", () => {
    for (const from of [State.Open({ clean }), State.Draining({ clean, intent: "commit" })]) {
      explore(step(from, "SendFailed")!, maxDepth, (trail) => {
        const inSame = trail.events.indexOf("Began")
        const states = inSame < 0 ? trail.states : trail.states.slice(0, inSame + 1)
        assert(states.every(({ _tag }) => _tag !== "Committing"), show(trail))
      })
    }
  })

  it("a session is ready for another transaction only if every request was answered", () => {
    explore(State.Open({ clean }), maxDepth, (trail) => {
      const at = trail.events.indexOf("Ended")
      if (at < 0 || trail.events.slice(0, at).includes("Began")) return
      const after = trail.states[at + 1]!
      if (after._tag === "Dead" || after._tag === "Closed") return
      const unanswered = trail.events.slice(0, at).includes("Unanswered")
      assert.strictEqual(after._tag, unanswered ? "Retired" : "Ready", show(trail))
    })
  })

  it("after an unknown outcome nothing is committed or aborted before a new session", () => {
    explore(State.Unknown(), maxDepth, (trail) => {
      const at = trail.events.indexOf("Initialised")
      const before = at < 0 ? trail.states : trail.states.slice(0, at + 1)
      assert(
        before.every(({ _tag }) => ["Unknown", "Retired", "Dead", "Closed"].includes(_tag)),
        show(trail)
      )
    })
  })

  it("a retired session takes a new session before anything else", () => {
    for (const event of events) {
      const next = step(State.Retired(), event)
      const expected = { Initialised: "Ready", Fenced: "Dead", Closed: "Closed" }[event as string]
      assert.strictEqual(next?._tag, expected, event)
    }
  })

  it("dead and closed stay what they are, whatever happens", () => {
    for (const event of events) {
      assert.strictEqual(step(State.Closed(), event)?._tag, "Closed")
      assert.strictEqual(step(State.Dead(), event)?._tag, event === "Closed" ? "Closed" : "Dead")
    }
  })

  it("a fence kills and a close closes in every state", () => {
    explore(initial, maxDepth, (trail) => {
      const state = trail.states.at(-1)!
      const isOver = state._tag === "Closed"
      assert.strictEqual(step(state, "Fenced")?._tag, isOver ? "Closed" : "Dead")
      assert.strictEqual(step(state, "Closed")?._tag, "Closed")
    })
  })

  it("only an end that is asked for ends a transaction, and no state is a trap", () => {
    const seen = new Set<string>()
    explore(initial, maxDepth, ({ states }) => {
      for (const { _tag } of states) seen.add(_tag)
    })
    assert.sameMembers(
      [...seen].sort(),
      [
        "Aborting",
        "Closed",
        "Committing",
        "Dead",
        "Draining",
        "Open",
        "Ready",
        "Retired",
        "Tainted",
        "Uninitialised",
        "Unknown"
      ]
    )
  })

  for (const [from, event, to] of arrows) {
    it(`${from._tag} goes to ${to._tag} by ${event}: ${JSON.stringify(from)}`, () => {
      assert.deepEqual({ ...step(from, event) } as State, { ...to } as State)
    })
  }

  it("no event does anything that no arrow says", () => {
    const states = arrows.map(([from]) => from)
    for (const from of states) {
      for (const event of events) {
        if (event === "Fenced" || event === "Closed") continue
        const next = step(from, event)
        const known = arrows.some(([state, on]) => state._tag === from._tag && on === event)
        assert.strictEqual(
          next !== null,
          known || isAbortRepeat(from, event),
          `${from._tag} ${event}`
        )
      }
    }
  })
})

/** A drain towards an abort takes more failures, and an abort attempt may lack its answer. */
const isAbortRepeat = (from: State, event: Event): boolean =>
  from._tag === "Aborting" && event === "Unanswered"
