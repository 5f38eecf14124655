/**
 * How a failed call of kafkajs is told to the library.
 *
 * kafkajs' own error is the last thing that went wrong, which is often not what matters: after a
 * lost Produce it reports that reconnecting was refused. So the failure is read from what was
 * written and answered, and kafkajs' error only fills in where that says nothing.
 */
import { tokenUnavailable } from "@kafka-once/core/ConnectionOptions"
import { DriverError, Failure, type Request } from "@kafka-once/core/KafkaDriver"
import * as Answer from "./answer.ts"
import type { Call, Exchange } from "./socketGate.ts"

/** Requests that do what a call is for; every other one only finds the way. */
const acts = new Set<Request>([
  "InitProducerId",
  "AddPartitionsToTxn",
  "Produce",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn",
  "Fetch",
  "ListOffsets",
  "OffsetFetch",
  "JoinGroup",
  "SyncGroup",
  "Heartbeat",
  "OffsetCommit",
  "LeaveGroup"
])

export const classify = (
  call: Call,
  error: unknown,
  retell: (text: string) => string
): DriverError => {
  const own = unwrap(error)
  // Cut last: half a secret would not be found in the text.
  const detail = cut(retell(detailOf(own)))
  const fail = (request: Request, failure: Failure): DriverError =>
    new DriverError({ request, failure, detail })

  const lastAct = call.exchanges.findLastIndex((exchange) => acts.has(requestOf(exchange)))
  const act = call.exchanges[lastAct]
  if (act !== undefined) {
    // After its time-out kafkajs has given the request up, even if an answer came a moment later.
    const failure = hasTimedOut(own, act) ? Failure.NoAnswer() : failureOf(call, act, own)
    if (failure !== null) return fail(requestOf(act), failure)
  }
  // The last act was done, or none was written: something on the way to the next one failed.
  const failed = call.exchanges.slice(lastAct + 1)
    .map((exchange) => ({ exchange, failure: failureOf(call, exchange, own) }))
    .filter(({ failure }) => failure !== null)
  const decisive = failed.findLast(({ exchange }) => requestOf(exchange) === "FindCoordinator") ??
    failed.at(-1)
  if (decisive?.failure) return fail(requestOf(decisive.exchange), decisive.failure)
  return unanswerable(call, own, fail)
}

const requestOf = (exchange: Exchange): Request => Answer.requestOf(exchange.apiKey)

/** What is wrong with one exchange, or `null`. */
const failureOf = (call: Call, exchange: Exchange, own: KafkaJsFailure): Failure | null => {
  if (exchange.answer === null) {
    return call.notKafka
      ? Failure.NotKafka()
      : call.socketFailure === "duringTls" && requestOf(exchange) === "Connect"
      ? Failure.TlsFailed()
      : Failure.NoAnswer()
  }
  switch (exchange.answer._tag) {
    case "Unreadable":
      return Failure.NotKafka()
    case "NotRead": {
      const isLast = call.exchanges.at(-1) === exchange
      const code = isLast ? protocolCode(own) : null
      return code === null ? null : Failure.Answered({ code })
    }
    case "Read": {
      const code = Answer.firstFailure(exchange.answer.codes)
      return code === 0 ? null : Failure.Answered({ code })
    }
  }
}

/** Everything written was answered well, or nothing was written. */
const unanswerable = (
  call: Call,
  own: KafkaJsFailure,
  fail: (request: Request, failure: Failure) => DriverError
): DriverError => {
  if (call.notKafka) return fail("Connect", Failure.NotKafka())
  if (call.socketFailure === "duringTls") return fail("Connect", Failure.TlsFailed())
  if (call.socketFailure !== null || notSentErrors.has(own.name)) {
    return fail("Connect", Failure.NotSent())
  }
  const last = call.exchanges.at(-1)
  if (last !== undefined && unreadableErrors.has(own.name)) {
    return fail(requestOf(last), Failure.NotKafka())
  }
  return fail("Connect", Failure.Refused())
}

/** kafkajs found no connection, no broker or no leader to write to, and says so by these names. */
const notSentErrors = new Set([
  "KafkaJSConnectionError",
  "KafkaJSConnectionClosedError",
  "KafkaJSBrokerNotFound",
  "KafkaJSNoBrokerAvailableError",
  "KafkaJSGroupCoordinatorNotFound",
  "KafkaJSMetadataNotLoaded",
  "KafkaJSTopicMetadataNotLoaded",
  "KafkaJSLockTimeout",
  tokenUnavailable
])

/** What kafkajs' decoder throws where an answer is not what its version says. */
const unreadableErrors = new Set(["RangeError", "KafkaJSPartialMessageError"])

/** The fields of kafkajs' errors that are used, none of which holds options or records. */
interface KafkaJsFailure {
  readonly name: string
  readonly message: string
  readonly code: unknown
  readonly broker: unknown
}

/** kafkajs wraps an error when it repeats a call no more; the first one says what it was. */
const unwrap = (error: unknown): KafkaJsFailure => {
  let inner = error
  // kafkajs wraps at most once per retrier, and nests three of them.
  for (let depth = 0; depth < 8; depth++) {
    if (!(inner instanceof Error) || !(inner.cause instanceof Error)) break
    inner = inner.cause
  }
  if (!(inner instanceof Error)) {
    return { name: "", message: String(inner), code: undefined, broker: undefined }
  }
  return {
    name: inner.name,
    message: inner.message,
    code: "code" in inner ? inner.code : undefined,
    broker: "broker" in inner ? inner.broker : undefined
  }
}

const unknownToKafkaJs = -99

/** The protocol's code in kafkajs' error; codes it does not know are only in its text (K8). */
const protocolCode = (own: KafkaJsFailure): number | null => {
  if (typeof own.code !== "number") return null
  if (own.code !== unknownToKafkaJs) return own.code
  const number = /^Unknown error code (-?\d+)$/.exec(own.message)?.[1]
  return number === undefined ? null : Number(number)
}

const hasTimedOut = (own: KafkaJsFailure, act: Exchange): boolean =>
  own.name === "KafkaJSRequestTimeoutError" &&
  own.message.includes(`(key: ${act.apiKey}, version: `)

const longestDetail = 300

const detailOf = (own: KafkaJsFailure): string => {
  // kafkajs prints a whole message where it refuses one.
  const text = own.message.startsWith("Invalid message") ? "Invalid message" : plainly(own.message)
  return typeof own.broker === "string" && !text.includes(own.broker)
    ? `${own.broker}: ${text}`
    : text
}

const cut = (text: string): string =>
  text.length <= longestDetail ? text : `${text.slice(0, longestDetail)}...`

/** The alerts with which a server refuses a client's certificate, or the lack of one. */
const ofCertificate = /alert.*(certificate|unknown ca)/

/** OpenSSL gives a number, a routine, a file of its own, and in between what happened. */
const plainly = (message: string): string => {
  const reason = /SSL routines:[^:]*:([^:]+):/.exec(message)?.[1]
  if (reason === undefined) return message
  return ofCertificate.test(reason)
    ? `${reason}: the broker refuses this client's certificate, or asks for one ` +
      "(`tls.cert` and `tls.key`)"
    : reason
}
