/**
 * What programs asked for and what they were told, as events: one file of JSON lines per process.
 *
 * An operation is an `inv` event and at most one of `ok`, `fail` and `info`: done; refused, and
 * certainly without effect; and unknown. A process that was killed leaves `inv` events without an
 * end, which count as `info`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const common = {
  /** `CLOCK_MONOTONIC` in nanoseconds: one clock for all processes of a machine. */
  t: Schema.Finite,
  process: Schema.Int
}
const Place = { topic: Schema.String, partition: Schema.Int }
const Places = Schema.Array(Schema.Struct(Place))
const Text = Schema.NullOr(Schema.String)
const NumberOrNull = Schema.NullOr(Schema.Finite)
const Decision = Schema.Literals(["commit", "abort"])
const Numbers = Schema.Array(Schema.Finite)

const event = <const Tag extends string, const Fields extends Schema.Struct.Fields>(
  tag: Tag,
  fields: Fields
) => Schema.TaggedStruct(tag, { ...common, ...fields })

const operation = { transaction: Schema.Int, operation: Schema.Int }
const failed = { ...operation, error: Schema.String }

/**
 * One event.
 *
 * **Details**
 *
 * *Shape*
 * - `open`: the first of a file; `wallMillis` (since 1970) is the same moment as `t`, by which the
 *   wire log's times are compared. `exit`: the process ended by itself.
 * - `init.ok`, `init.fail`, `init.info`: a producer session was asked for; `session` numbers those
 *   of a process.
 * - `begin`: a transaction has begun, with `count` records if it commits.
 * - `send.*`: `records` names the indices sent, and `acks` where the broker has put them; an offset
 *   of -1 is one that the broker did not tell.
 * - `offs.*`: positions of a group added to the transaction, from the first offset processed to the
 *   next one (`from` is -1 where it is not known).
 * - `end.*`: the transaction ends. `end.fail` is a definite refusal.
 * - `result`: what the program was told in the end; again with `resolved` when it has asked again.
 * - `left.open`: the library said that it could not end a transaction before its release returned.
 * - `scope.closed`: a transaction's scope, or a producer's, is closed. `clientId` is the producer's
 *   own where it shares none; `leaked` counts what was still open then, as far as it was counted.
 * - `poll`: what a consumer was given, `stamps` as (process, transaction, index) one after another;
 *   `transaction` is the one that processes it, or -1. `permanent` is a consumer that runs all the
 *   time, and must see everything.
 * - `assign`, `revoke`, `lost`, `seek`: a consumer's position moves by other means than reading.
 *   `seek` with `rewind` is the one after an abort.
 * - `group.offset`: a group's committed position as an observer saw it.
 * - `nemesis`: a fault begins or ends. `fault` is its kind, `target` the process that it kills or
 *   freezes, or -1.
 *
 * @category models
 * @since 0.1.0
 */
export const Event = Schema.Union([
  event("open", { run: Schema.Int, wallMillis: Schema.Finite }),
  event("exit", {}),
  event("init.ok", {
    id: Schema.String,
    session: Schema.Int,
    producerId: Schema.Finite,
    epoch: Schema.Int
  }),
  event("init.fail", { id: Schema.String, error: Schema.String }),
  event("init.info", { id: Schema.String, error: Schema.String }),
  event("begin", {
    transaction: Schema.Int,
    id: Schema.String,
    session: Schema.Int,
    count: Schema.Int
  }),
  event("send.inv", {
    ...operation,
    records: Schema.Array(Schema.Struct({
      topic: Schema.String,
      partition: Schema.NullOr(Schema.Int),
      indices: Numbers
    }))
  }),
  event("send.ok", {
    ...operation,
    acks: Schema.Array(Schema.Struct({ ...Place, indices: Numbers, offsets: Numbers }))
  }),
  event("send.fail", failed),
  event("send.info", failed),
  event("offs.inv", {
    ...operation,
    group: Schema.String,
    member: Schema.String,
    positions: Schema.Array(
      Schema.Struct({ ...Place, from: Schema.Finite, next: Schema.Finite })
    )
  }),
  event("offs.ok", operation),
  event("offs.fail", failed),
  event("offs.info", failed),
  event("end.inv", { transaction: Schema.Int, decision: Decision }),
  event("end.ok", { transaction: Schema.Int, decision: Decision }),
  event("end.fail", { transaction: Schema.Int, error: Schema.String }),
  event("end.info", { transaction: Schema.Int, error: Schema.String }),
  event("result", {
    transaction: Schema.Int,
    outcome: Schema.Literals(["Committed", "Aborted", "Unknown"]),
    resolved: Schema.Boolean,
    error: Text,
    recovery: Text
  }),
  event("left.open", { id: Schema.String }),
  event("scope.closed", {
    scope: Schema.Literals(["transaction", "producer"]),
    id: Schema.String,
    transaction: Schema.Int,
    clientId: Text,
    leaked: Schema.Int
  }),
  event("poll", {
    member: Schema.String,
    ...Place,
    group: Text,
    permanent: Schema.Boolean,
    committedOnly: Schema.Boolean,
    transaction: Schema.Int,
    offsets: Numbers,
    stamps: Numbers,
    lastStableOffset: NumberOrNull,
    leaderEpoch: NumberOrNull
  }),
  event("assign", { member: Schema.String, places: Places }),
  event("revoke", { member: Schema.String, places: Places }),
  event("lost", { member: Schema.String, places: Places }),
  event("seek", {
    member: Schema.String,
    ...Place,
    offset: Schema.Finite,
    rewind: Schema.Boolean
  }),
  event("group.offset", { group: Schema.String, ...Place, offset: Schema.Finite }),
  event("nemesis", {
    phase: Schema.Literals(["start", "stop"]),
    fault: Schema.Literals(["broker", "connection", "process", "zombie"]),
    what: Schema.String,
    target: Schema.Int
  })
])

/**
 * One event.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * One event of one kind.
 *
 * @category models
 * @since 0.1.0
 */
export type EventOf<Tag extends Event["_tag"]> = Extract<Event, { readonly _tag: Tag }>
