/**
 * How an operation of the admin asks the cluster: until its deadline, and with a typed reason for
 * what is not to be repeated.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { nameOf } from "../../ErrorCode.ts"
import { DriverError, Failure, type Request } from "../../KafkaDriver.ts"
import {
  AuthenticationFailed,
  NotKafka,
  TlsFailed,
  UnknownTopic,
  UnsupportedByBroker
} from "../../KafkaError.ts"
import type { TransactionAdminDriver } from "../../TransactionAdminDriver.ts"
import {
  NotAuthorized,
  NotInTime,
  type Operation,
  Outdated,
  type Reason,
  Refused,
  TransactionAdminError,
  UnknownTransactionalId
} from "../../TransactionAdminError.ts"
import { describe, verdictOf } from "../classify.ts"
import { guard } from "../guardedDriver.ts"
import { monotonicMillis, untilDeadline } from "../repeat.ts"

/** One call of the admin. */
export interface Call {
  readonly operation: Operation
  readonly driver: TransactionAdminDriver
  readonly limitMillis: number
  /** By the monotonic clock. */
  readonly deadlineMillis: number
}

/** What a request is about. */
export interface About {
  readonly text: string
  readonly transactionalId?: string
  readonly topic?: string
  readonly partition?: number
  readonly producerId?: bigint
  /** The right that all of the operation needs, where it is more than one request's. */
  readonly needs?: string
}

export const aboutCluster: About = { text: "the cluster" }

export const aboutId = (transactionalId: string): About => ({
  text: `the transactional id "${transactionalId}"`,
  transactionalId
})

export const aboutPartition = (topic: string, partition: number): About => ({
  text: `"${topic}" partition ${partition}`,
  topic,
  partition
})

/** Runs an operation with its deadline. */
export const start = <A, E>(
  operation: Operation,
  driver: TransactionAdminDriver,
  limit: Duration.Duration,
  body: (call: Call) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.flatMap(monotonicMillis, (now) => {
    const limitMillis = Duration.toMillis(limit)
    return body({ operation, driver, limitMillis, deadlineMillis: now + limitMillis })
  })

/** The part of an operation that must leave time for the rest of it. */
export const half = <A, E>(
  call: Call,
  body: (call: Call) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.flatMap(
    monotonicMillis,
    (now) => body({ ...call, deadlineMillis: now + Math.max(0, call.deadlineMillis - now) / 2 })
  )

/** How long is left; never nothing, so that each request is tried once. */
export const remaining = ({ deadlineMillis }: Call): Effect.Effect<Duration.Duration> =>
  Effect.map(monotonicMillis, (now) => Duration.millis(Math.max(1, deadlineMillis - now)))

const attemptMillisMax = 3_000

/** One attempt of one request. A third of the time at most, so that it can be repeated. */
export const attempt = <A>(
  { limitMillis }: Call,
  request: Request,
  send: () => Effect.Effect<A, DriverError>
): Effect.Effect<A, DriverError> =>
  Effect.timeoutOrElse(guard(request, Failure.Refused(), send), {
    duration: Math.min(attemptMillisMax, limitMillis / 3),
    orElse: () =>
      Effect.fail(new DriverError({ request, failure: Failure.NoAnswer(), detail: "no answer" }))
  })

/** A topic that does not exist will not, however often it is asked for. */
export const isRepeatable = (error: DriverError): boolean => {
  const verdict = verdictOf(error)
  return (verdict === "retry" || verdict === "refresh") && !isUnknownTopic(error)
}

const isUnknownTopic = ({ failure, request }: DriverError): boolean =>
  request === "Metadata" && failure._tag === "Answered" && failure.code === 3

/** One request, repeated until the deadline. */
export const ask = <A>(
  call: Call,
  request: Request,
  about: About,
  send: () => Effect.Effect<A, DriverError>
): Effect.Effect<A, TransactionAdminError> =>
  Effect.flatMap(remaining(call), (limit) =>
    untilDeadline({
      request,
      limit,
      attempt: attempt(call, request, send),
      // There is no session that it could spoil.
      onUnanswered: () => {},
      mayRepeat: isRepeatable
    })).pipe(
      Effect.mapError((error) =>
        error._tag === "Exhausted"
          ? notInTime(call, request, about, error.lastText)
          : failed(call, reasonOf(error, about))
      )
    )

export const failed = ({ operation }: Call, reason: Reason): TransactionAdminError =>
  new TransactionAdminError({ operation, reason })

export const notInTime = (
  call: Call,
  request: Request,
  about: About,
  last: string
): TransactionAdminError =>
  failed(
    call,
    new NotInTime({ about: about.text, request, afterMillis: call.limitMillis, last })
  )

/** The reason of a failure that is not to be repeated. */
export const reasonOf = (error: DriverError, about: About): Reason => {
  const { detail, failure, request } = error
  switch (failure._tag) {
    case "Answered":
      return reasonOfCode(error, failure.code, about)
    case "TlsFailed":
      return new TlsFailed({ detail })
    case "NotKafka":
      return new NotKafka({ detail })
    case "NoAnswer":
    case "NotSent":
    case "Refused":
      return new Refused({ about: about.text, request, problem: detail })
  }
}

const reasonOfCode = (error: DriverError, code: number, about: About): Reason => {
  const { detail, request } = error
  const { partition = -1, producerId = -1n, topic = "", transactionalId = "" } = about
  const name = nameOf(code)
  switch (code) {
    case 3:
      return new UnknownTopic(partition < 0 ? { topic } : { topic, partition })
    case 29:
    case 30:
    case 31:
    case 53:
      return new NotAuthorized({ request, needs: about.needs ?? rightFor(request, about) })
    case 33:
    case 34:
    case 58:
      return new AuthenticationFailed({ detail })
    case 35:
      return new UnsupportedByBroker({ request, code, name })
    case 105:
      return new UnknownTransactionalId({ transactionalId })
    case 47:
    case 52:
    case 90:
      return new Outdated({ topic, partition, producerId, name })
    default:
      return new Refused({ about: about.text, request, problem: describe(error) })
  }
}

/** The right that a refused request needs; `docs/operations.md` has the table. */
const rightFor = (request: Request, { text, topic, transactionalId = "" }: About): string => {
  switch (request) {
    case "WriteTxnMarkers":
      return "Alter on the cluster"
    case "DescribeConfigs":
      return "DescribeConfigs on the cluster (or give `olderThan`)"
    case "DescribeTransactions":
    case "FindCoordinator":
      return `Describe on the transactional id "${transactionalId}"`
    case "DescribeProducers":
      return `Read on the topic "${topic ?? text}"`
    default:
      return topic === undefined ? "Describe on the cluster" : `Describe on the topic "${topic}"`
  }
}
