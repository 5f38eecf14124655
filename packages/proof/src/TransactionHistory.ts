/**
 * One transaction as its program saw it.
 *
 * @since 0.1.0
 */
import type { EventOf } from "./History.ts"

/**
 * Positions of a group that a transaction commits.
 *
 * @category models
 * @since 0.1.0
 */
export interface Position {
  readonly group: string
  readonly member: string
  readonly topic: string
  readonly partition: number
  readonly from: number
  readonly next: number
}

/**
 * One transaction as its program saw it. Its records have the slots from `firstSlot` on.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionHistory {
  readonly row: number
  readonly process: number
  readonly number: number
  readonly id: string
  readonly session: number
  readonly count: number
  readonly firstSlot: number
  readonly beganAt: number
  commitAskedAt: number | null
  ended: "commit" | "abort" | null
  openEnd: boolean
  first: EventOf<"result"> | null
  last: EventOf<"result"> | null
  closedAt: number | null
  readonly positions: Array<Position>
  /** Rows of `operations` without an end yet, by the operation's number. */
  open: Map<number, number> | null
}

/**
 * The key of a process's transaction or, for sessions, of its session.
 *
 * @category accessors
 * @since 0.1.0
 */
export const keyOf = (process: number, number: number): number => process * 2 ** 32 + number

/**
 * A transaction in words.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nameOf = ({ number, process }: TransactionHistory): string =>
  `transaction ${process}/${number}`
