import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { OffsetCommit } from "../KafkaDriver.ts"
import { isKafkaError, type KafkaError } from "../KafkaError.ts"
import type { ProducerRecord } from "../ProducerRecord.ts"
import { encodeUtf8 } from "./utf8.ts"

/**
 * The metrics of one producer, with its transactional id as an attribute, by OpenTelemetry's
 * messaging conventions where these have a name. Durations are in milliseconds, as Effect's
 * exporters expect of a histogram of times.
 */
export const metricsOf = (transactionalId: string) => {
  // Given to each metric as it is made: `Metric.withAttributes` merges them anew at every update.
  const attributes = { "messaging.kafka.transactional_id": transactionalId }
  const counter = (name: string, description: string, more: Record<string, string> = {}) =>
    Metric.counter(name, {
      description,
      attributes: { ...attributes, ...more },
      incremental: true
    })
  const outcome = (name: string) =>
    counter("kafka_once.transactions", "Transactions that have ended, by outcome", {
      outcome: name
    })
  return {
    committed: outcome("committed"),
    aborted: outcome("aborted"),
    unknown: outcome("unknown"),
    openTransactions: Metric.gauge("kafka_once.transactions.open", {
      description: "Transactions that are open now",
      attributes
    }),
    transactionDuration: Metric.histogram("kafka_once.transaction.duration", {
      description: "From the begin of a transaction to its end, in milliseconds",
      attributes,
      boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 16 })
    }),
    sentRecords: counter(
      "messaging.client.sent.messages",
      "Records that the broker has acknowledged"
    ),
    sentBytes: counter(
      "kafka_once.sent.bytes",
      "Bytes of the records that the broker has acknowledged, before compression"
    ),
    retries: counter(
      "kafka_once.transaction.retries",
      "Transactions that were run again after a definite abort"
    ),
    sessionsOpened: counter("kafka_once.sessions.opened", "Producer sessions that were opened"),
    sessionsRetired: counter(
      "kafka_once.sessions.retired",
      "Producer sessions that were closed because something was not clean"
    )
  }
}

/**
 * What {@link metricsOf} makes.
 */
export type ProducerMetrics = ReturnType<typeof metricsOf>

const commonAttributes = (operation: string, transactionalId: string) => ({
  "messaging.system": "kafka",
  "messaging.operation.name": operation,
  "messaging.kafka.transactional_id": transactionalId
})

/**
 * The topic that is the destination of all of these, or `null`: an operation over several topics
 * has none.
 */
const destinationOf = (items: ReadonlyArray<{ readonly topic: string }>): string | null => {
  const topic = items[0]?.topic
  return topic !== undefined && items.every((item) => item?.topic === topic) ? topic : null
}

// The operation, and its destination where it has one. A transactional id is no destination, and a
// program may have as many of them as it has partitions: it is an attribute.
const nameOf = (operation: string, destination: string | null): string =>
  destination === null ? operation : `${operation} ${destination}`

const destinationAttributes = (destination: string | null) =>
  destination === null ? {} : { "messaging.destination.name": destination }

/**
 * What a failed operation's span says in `error.type`: the name of the reason, or of the broker's
 * error code.
 */
const errorTypeOf = (exit: Exit.Exit<unknown, unknown>): string | null => {
  if (Exit.isSuccess(exit)) return null
  const error = Option.getOrNull(Exit.findErrorOption(exit))
  return isKafkaError(error) ? error.reason.name : "_OTHER"
}

/**
 * Notes on the current span that its operation has failed, where its effect has not.
 */
export const noteErrorType = ({ reason }: KafkaError): Effect.Effect<void> =>
  Effect.annotateCurrentSpan("error.type", reason.name)

/**
 * The span of one step of a transaction, as a child of the transaction's own span.
 *
 * Stack traces are not captured: a transaction makes several spans, and each capture costs more
 * than the span.
 */
export const withStepSpan = (
  step: "begin" | "commit" | "abort",
  transactionalId: string,
  parent: Tracer.AnySpan
) =>
<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  withClientSpan(self, step, parent, () => commonAttributes(step, transactionalId))

/**
 * The span of the sending of one group's offsets, which settles what the group has read.
 */
export const withOffsetsSpan = (
  transactionalId: string,
  parent: Tracer.AnySpan,
  { groupId, positions }: OffsetCommit
) =>
<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const destination = destinationOf(positions)
  return withClientSpan(self, nameOf("send_offsets", destination), parent, () => ({
    ...commonAttributes("send_offsets", transactionalId),
    "messaging.operation.type": "settle",
    "messaging.consumer.group.name": groupId,
    ...destinationAttributes(destination)
  }))
}

const withClientSpan = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  name: string,
  parent: Tracer.AnySpan,
  attributes: () => Record<string, unknown>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    // A span that nobody sees still costs half of one that somebody does.
    !fiber.getRef(References.TracerEnabled)
      ? self
      : Effect.withSpan(Effect.onExit(self, noteExit), name, {
        kind: "client",
        captureStackTrace: false,
        parent,
        attributes: attributes()
      })
  )

const noteExit = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
  const errorType = errorTypeOf(exit)
  return errorType === null ? Effect.void : Effect.annotateCurrentSpan("error.type", errorType)
}

/**
 * Whether somebody can see a span that is put into no context: a tracer of the program's, or the
 * one who reads the record's headers.
 */
const isSeen = (
  fiber: { readonly getRef: <A>(reference: Context.Reference<A>) => A },
  inHeaders: boolean
): boolean =>
  fiber.getRef(References.TracerEnabled) &&
  (inHeaders || fiber.getRef(Tracer.Tracer) !== Tracer.nativeTracer)

/**
 * Runs one `send` with its span, or with `null` where nobody would see it. The span is ended by
 * hand and put into no context: nothing runs under it, and a context of its own for each of
 * hundreds of calls costs more than the span.
 */
export const withSendSpan = <A, E>(
  options: {
    readonly transactionalId: string
    readonly parent: Tracer.AnySpan
    readonly inHeaders: boolean
    readonly records: ReadonlyArray<ProducerRecord>
  },
  use: (span: Tracer.Span | null) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.withFiber((fiber) => {
    const { transactionalId, parent, inHeaders, records } = options
    if (!isSeen(fiber, inHeaders)) return use(null)
    // What is no array is refused by the send itself.
    const destination = Array.isArray(records) ? destinationOf(records) : null
    const span = Effect.makeSpan(nameOf("send", destination), {
      // The convention's producer is the one whose span a consumer finds in the record.
      kind: inHeaders ? "producer" : "client",
      parent,
      attributes: {
        ...commonAttributes("send", transactionalId),
        "messaging.operation.type": "send",
        ...(Array.isArray(records) ? { "messaging.batch.message_count": records.length } : {}),
        ...destinationAttributes(destination)
      }
    })
    return Effect.flatMap(span, use)
  })

/**
 * Starts the span of a whole transaction. It is ended by hand, because in the scope form the
 * transaction outlives the effect that begins it.
 */
export const startTransactionSpan = (transactionalId: string): Effect.Effect<Tracer.Span> =>
  Effect.makeSpan("transaction", {
    kind: "client",
    attributes: commonAttributes("transaction", transactionalId)
  })

/**
 * Notes the transactional id of the lane on a transaction's span and on its begin, the current one,
 * which were started before it was known whose turn it would be.
 */
export const noteLane = (span: Tracer.Span, transactionalId: string): Effect.Effect<void> => {
  const attribute = "messaging.kafka.transactional_id"
  span.attribute(attribute, transactionalId)
  return Effect.annotateCurrentSpan(attribute, transactionalId)
}

/**
 * Ends a span that was started by hand.
 */
export const endSpan = (
  span: Tracer.Span,
  clock: Clock.Clock,
  exit: Exit.Exit<unknown, unknown>
): void => {
  const errorType = errorTypeOf(exit)
  if (errorType !== null) span.attribute("error.type", errorType)
  span.end(clock.currentTimeNanosUnsafe(), exit)
}

/**
 * The W3C `traceparent` header of a span.
 */
export const traceHeaderOf = ({ sampled, spanId, traceId }: Tracer.Span) =>
  ["traceparent", encodeUtf8(`00-${traceId}-${spanId}-${sampled ? "01" : "00"}`)] as const
