/**
 * What a fault on the wire means for the transaction that it meets.
 *
 * @since 0.1.0
 */

/**
 * What a fault means for the program, as one class.
 *
 * **Details**
 *
 * *Shape*
 * - `ok`: nobody notices; the commit is answered.
 * - `run again`: proven to be aborted, for a reason whose recovery is *retry*; the body runs again,
 *   and commits.
 * - `resolved aborted`: as `run again`, but the commit's answer did not tell: the log did.
 * - `resolved committed`: the commit's answer did not tell, and the log says committed.
 * - `aborted`: proven to be aborted, and not run again, for it would fail again.
 * - `fatal`: rights, settings or versions must change, or another instance owns the id.
 * - `not begun`: no session could be opened, so that nothing was begun; later it can.
 * - `unknown`: nothing within the deadline proves it; asked again later, the log tells.
 *
 * `reason` is the tag of the `KafkaError` that says it. `next` is that of the next begin where
 * it fails: because the producer is dead, or because no broker has answered.
 *
 * @category models
 * @since 0.1.0
 */
export type Expectation =
  | {
    readonly kind: "ok" | "resolved aborted" | "resolved committed" | "unknown"
    readonly next?: string
  }
  | {
    readonly kind: "run again" | "aborted" | "fatal" | "not begun"
    readonly reason: string
    readonly next?: string
  }

/**
 * Nobody notices.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ok: Expectation = { kind: "ok" }

/**
 * The log says that it is aborted, and it is run again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolvedAborted: Expectation = { kind: "resolved aborted" }

/**
 * The log says that it is committed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolvedCommitted: Expectation = { kind: "resolved committed" }

/**
 * The outcome is not known within the deadline.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unknown: Expectation = { kind: "unknown" }

/**
 * Aborted for this reason, and run again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const runAgain = (reason: string): Expectation => ({ kind: "run again", reason })

/**
 * Aborted for this reason, and not run again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const aborted = (reason: string): Expectation => ({ kind: "aborted", reason })

/**
 * Another instance owns the id; the producer is dead.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fenced: Expectation = {
  kind: "fatal",
  reason: "ProducerFenced",
  next: "ProducerFenced"
}

/**
 * Nothing changes until something outside of the program does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fatal = (reason: string): Expectation => ({ kind: "fatal", reason })

/**
 * No session could be opened.
 *
 * @category constructors
 * @since 0.1.0
 */
export const notBegun = (reason: string): Expectation => ({ kind: "not begun", reason })

/**
 * An expectation as text: `run again (TimedOut)`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = (expectation: Expectation): string => {
  const { kind, next } = expectation
  const reason = "reason" in expectation ? ` (${expectation.reason})` : ""
  return `${kind}${reason}${next === undefined ? "" : `, then ${next}`}`
}
