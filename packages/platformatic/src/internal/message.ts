/**
 * A request in the versions that this driver speaks, and how its answer is read.
 *
 * The client's own modules throw away what an answer says when one code in it is not zero, and fail
 * with a TypeError on a code that they do not know. So every answer that has a code is read
 * by the driver itself, as data.
 */
import type { Request } from "@kafka-once/core/KafkaDriver"
import type { Reader, Writer } from "@platformatic/kafka"
import type { Place } from "./throttle.ts"

export interface Message<A> {
  readonly request: Request
  readonly key: number
  /** The oldest and the newest version that `write` and `read` know. */
  readonly versions: readonly [oldest: number, newest: number]
  /** The version from which on headers have tagged fields, and lengths are compact. */
  readonly flexibleFrom: number
  /** Where the answer tells of a quota; left out, it comes first. */
  readonly throttle?: Place
  readonly write: (version: number) => Writer
  readonly read: (reader: Reader, version: number) => A
}

/** The version that both sides speak, or `null`. */
export const versionOf = (
  { key, versions: [oldest, newest] }: Message<unknown>,
  offered: ReadonlyMap<number, readonly [oldest: number, newest: number]>
): number | null => {
  const broker = offered.get(key)
  if (broker === undefined) return null
  const version = Math.min(newest, broker[1])
  return version >= Math.max(oldest, broker[0]) ? version : null
}
