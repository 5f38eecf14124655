/**
 * The life of a producer and its transactions, as one pure function.
 *
 * ```text
 * Uninitialised --Initialised--> Ready --Began--> Open --BodySucceeded--> Draining(commit)
 * Open --SendFailed--> Tainted --BodySucceeded | BodyFailed--> Draining(abort)
 * Open --BodyFailed--> Draining(abort)
 * Draining(commit) --SendFailed | BodyFailed--> Draining(abort)
 * Draining(commit) --Drained--> Committing      Draining(abort) --Drained--> Aborting
 * Draining --DrainExpired--> Retired
 * Committing --Ended--> Ready | Retired         Aborting --Ended--> Ready | Retired
 * Committing --CommitRefused--> Retired         Committing --CommitUnanswered--> Unknown
 * Aborting --AbortFailed--> Retired             Unknown --Resolved--> Retired
 * Retired --Initialised--> Ready                any --Fenced--> Dead, any --Closed--> Closed
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { End } from "./KafkaDriver.ts"

/**
 * The state of a producer and of its one transaction.
 *
 * **Details**
 *
 * *Shape*: `clean` is true while every request of the transaction got an answer; only then the
 * session may be used for another one. `Unknown` and `Retired` have no session: it is closed, and a
 * new one must be opened on the same transactional id.
 *
 * @category models
 * @since 0.1.0
 */
export type State = Data.TaggedEnum<{
  Uninitialised: {}
  Ready: {}
  Open: { readonly clean: boolean }
  Tainted: { readonly clean: boolean }
  Draining: { readonly clean: boolean; readonly intent: End }
  Committing: { readonly clean: boolean }
  Aborting: { readonly clean: boolean }
  Unknown: {}
  Retired: {}
  Dead: {}
  Closed: {}
}>

/**
 * Constructors and matchers of {@link State}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const State = Data.taggedEnum<State>()

/**
 * What happens to a producer and its transaction.
 *
 * **Details**
 *
 * *Shape*
 * - `Initialised`: a session has its producer id and epoch.
 * - `SendFailed`: a send or offset commit failed or was interrupted.
 * - `Unanswered`: a request was left without an answer, even if it was repeated with success.
 * - `Drained`: everything asked for has settled. `DrainExpired`: it did not in time.
 * - `Ended`: EndTxn was answered, or nothing was registered that needed one.
 * - `CommitRefused`: the commit was refused at its first attempt, or never sent.
 * - `Resolved`: the evidence for an unanswered commit was read, with whatever result.
 * - `Fenced`: another instance has taken over the transactional id.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | "Initialised"
  | "Began"
  | "SendFailed"
  | "Unanswered"
  | "BodySucceeded"
  | "BodyFailed"
  | "Drained"
  | "DrainExpired"
  | "Ended"
  | "CommitRefused"
  | "CommitUnanswered"
  | "AbortFailed"
  | "Resolved"
  | "Fenced"
  | "Closed"

/**
 * Every event, for tests that enumerate them.
 *
 * @category models
 * @since 0.1.0
 */
export const events: ReadonlyArray<Event> = [
  "Initialised",
  "Began",
  "SendFailed",
  "Unanswered",
  "BodySucceeded",
  "BodyFailed",
  "Drained",
  "DrainExpired",
  "Ended",
  "CommitRefused",
  "CommitUnanswered",
  "AbortFailed",
  "Resolved",
  "Fenced",
  "Closed"
]

/**
 * The state before the first session.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: State = State.Uninitialised()

const afterEnd = (clean: boolean): State => clean ? State.Ready() : State.Retired()

/**
 * The next state, or `null` where the event cannot happen in the state.
 *
 * **Details**
 *
 * `Dead` and `Closed` take every event and stay, because a body may still be running when its
 * producer ends.
 *
 * @category operations
 * @since 0.1.0
 */
export const step = (state: State, event: Event): State | null => {
  if (state._tag === "Closed") return state
  if (event === "Closed") return State.Closed()
  if (state._tag === "Dead") return state
  if (event === "Fenced") return State.Dead()
  switch (state._tag) {
    case "Uninitialised":
    case "Retired":
      return event === "Initialised" ? State.Ready() : null
    case "Ready":
      return event === "Began" ? State.Open({ clean: true }) : null
    case "Open":
      return stepOpen(state.clean, event)
    case "Tainted":
      return stepTainted(state.clean, event)
    case "Draining":
      return stepDraining(state.clean, state.intent, event)
    case "Committing":
      return stepCommitting(state.clean, event)
    case "Aborting":
      return stepAborting(state.clean, event)
    case "Unknown":
      return event === "Resolved" ? State.Retired() : null
  }
}

const stepOpen = (clean: boolean, event: Event): State | null => {
  switch (event) {
    case "SendFailed":
      return State.Tainted({ clean })
    case "Unanswered":
      return State.Open({ clean: false })
    case "BodySucceeded":
      return State.Draining({ clean, intent: "commit" })
    case "BodyFailed":
      return State.Draining({ clean, intent: "abort" })
    default:
      return null
  }
}

const stepTainted = (clean: boolean, event: Event): State | null => {
  switch (event) {
    case "SendFailed":
      return State.Tainted({ clean })
    case "Unanswered":
      return State.Tainted({ clean: false })
    case "BodySucceeded":
    case "BodyFailed":
      return State.Draining({ clean, intent: "abort" })
    default:
      return null
  }
}

const stepDraining = (clean: boolean, intent: End, event: Event): State | null => {
  switch (event) {
    case "SendFailed":
    case "BodyFailed":
      return State.Draining({ clean, intent: "abort" })
    case "Unanswered":
      return State.Draining({ clean: false, intent })
    case "Drained":
      return intent === "commit" ? State.Committing({ clean }) : State.Aborting({ clean })
    case "DrainExpired":
      return State.Retired()
    default:
      return null
  }
}

const stepCommitting = (clean: boolean, event: Event): State | null => {
  switch (event) {
    case "Unanswered":
      return State.Committing({ clean: false })
    case "Ended":
      return afterEnd(clean)
    case "CommitRefused":
      return State.Retired()
    case "CommitUnanswered":
      return State.Unknown()
    default:
      return null
  }
}

const stepAborting = (clean: boolean, event: Event): State | null => {
  switch (event) {
    case "Unanswered":
      return State.Aborting({ clean: false })
    case "Ended":
      return afterEnd(clean)
    case "AbortFailed":
      return State.Retired()
    default:
      return null
  }
}
