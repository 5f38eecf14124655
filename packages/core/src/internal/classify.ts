import { classify as classifyCode, nameOf, type Verdict } from "../ErrorCode.ts"
import type { DriverError } from "../KafkaDriver.ts"
import {
  AuthenticationFailed,
  BrokerRefused,
  ConsumerFenced,
  Misconfigured,
  NotAuthorized,
  NotKafka,
  ProducerFenced,
  type Reason,
  RecordRejected,
  TlsFailed,
  TransactionAbortable,
  UnknownTopic,
  UnsupportedByBroker
} from "../KafkaError.ts"

/**
 * What a failed call means, by the table for an answer and by how it failed otherwise.
 */
export const verdictOf = (error: DriverError): Verdict => {
  switch (error.failure._tag) {
    case "Answered":
      return classifyCode(error.request, error.failure.code)
    case "NoAnswer":
      return error.request === "EndTxn" ? "resolve" : "retry"
    case "NotSent":
      return "retry"
    case "TlsFailed":
      return "reconfigure"
    case "NotKafka":
      // An answer to EndTxn that cannot be read says nothing about what was decided.
      return error.request === "EndTxn" ? "resolve" : "reconfigure"
    case "Refused":
      return "abort and replace"
  }
}

/**
 * Whether the request may still be acted on by the broker.
 */
export const isUnanswered = (error: DriverError): boolean =>
  error.failure._tag === "NoAnswer" || error.failure._tag === "NotKafka"

/**
 * A short text of a failure for messages: the code's name, or how it failed.
 */
export const describe = (error: DriverError): string =>
  error.failure._tag === "Answered"
    ? `${error.request}: ${nameOf(error.failure.code)}`
    : `${error.request}: ${error.failure._tag}: ${error.detail}`

/**
 * What a request was about, for the data of a reason.
 */
export interface About {
  readonly transactionalId: string
  readonly producerId?: bigint
  readonly epoch?: number
  readonly topics?: ReadonlyArray<string>
  readonly partition?: number
  readonly records?: number
  readonly bytes?: number
  readonly groupId?: string
  readonly transactionTimeoutMillis?: number
}

/**
 * The reason of a failed call that is not to be repeated.
 */
export const reasonOf = (error: DriverError, about: About): Reason => {
  switch (error.failure._tag) {
    case "Answered":
      return reasonOfCode(error, error.failure.code, about)
    case "TlsFailed":
      return new TlsFailed({ detail: error.detail })
    case "NotKafka":
      return new NotKafka({ detail: error.detail })
    case "NoAnswer":
    case "NotSent":
    case "Refused":
      return new BrokerRefused({ request: error.request, code: -1, name: error.detail })
  }
}

const reasonOfCode = (error: DriverError, code: number, about: About): Reason => {
  const { request } = error
  const name = nameOf(code)
  const topic = about.topics?.join(", ") ?? ""
  switch (code) {
    case 3:
      return new UnknownTopic({ topic })
    case 17:
      return new Misconfigured({
        setting: "topic",
        value: JSON.stringify(topic),
        problem: "is not a name that Kafka takes"
      })
    case 2:
    case 10:
    case 18:
    case 44:
    case 87:
      return new RecordRejected({
        topic,
        partition: about.partition ?? -1,
        code,
        name,
        records: about.records ?? 0,
        bytes: about.bytes ?? 0
      })
    case 22:
    case 25:
    case 27:
    case 82:
    case 113:
      return new ConsumerFenced({ groupId: about.groupId ?? "", code, name })
    case 29:
      return new NotAuthorized({ resource: "topic", name: topic, request })
    case 30:
      return new NotAuthorized({ resource: "group", name: about.groupId ?? "", request })
    case 31:
      return new NotAuthorized({ resource: "cluster", name: "kafka-cluster", request })
    case 53:
      return new NotAuthorized({
        resource: "transactional id",
        name: about.transactionalId,
        request
      })
    case 33:
    case 34:
    case 58:
      return new AuthenticationFailed({ detail: error.detail })
    case 35:
    case 43:
      return new UnsupportedByBroker({ request, code, name })
    case 47:
    case 90:
      return new ProducerFenced({
        transactionalId: about.transactionalId,
        producerId: about.producerId ?? -1n,
        epoch: about.epoch ?? -1
      })
    case 45:
    case 48:
    case 49:
    case 55:
    case 59:
    case 120:
      return new TransactionAbortable({ request, code, name })
    case 50:
      return new Misconfigured({
        setting: "transactionTimeout",
        value: `${about.transactionTimeoutMillis ?? "?"} ms`,
        problem: "is above the broker's transaction.max.timeout.ms; lower it or raise the broker's"
      })
    default:
      return new BrokerRefused({ request, code, name })
  }
}
