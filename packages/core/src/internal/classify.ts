import {
  classify as classifyCode,
  nameOf,
  reasonOf as reasonTagOf,
  type Verdict
} from "../ErrorCode.ts"
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
  readonly transactionalId?: string
  readonly producerId?: bigint
  readonly epoch?: number
  readonly topics?: ReadonlyArray<string>
  readonly partition?: number
  readonly records?: number
  readonly bytes?: number
  readonly groupId?: string
  readonly groupInstanceId?: string
  readonly transactionTimeoutMillis?: number
  readonly sessionTimeoutMillis?: number
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
  const transactionalId = about.transactionalId ?? ""
  const topic = about.topics?.join(", ") ?? ""
  const groupId = about.groupId ?? ""
  switch (reasonTagOf(code)) {
    case "UnknownTopic":
      return new UnknownTopic({ topic })
    case "Misconfigured":
      return misconfigured(code, topic, about)
    case "RecordRejected": {
      const { partition = -1, records = 0, bytes = 0 } = about
      return new RecordRejected({ topic, partition, code, name, records, bytes })
    }
    case "ConsumerFenced":
      return new ConsumerFenced({ groupId, code, name })
    case "NotAuthorized":
      return new NotAuthorized({ ...resourceOf(code, topic, groupId, transactionalId), request })
    case "AuthenticationFailed":
      return new AuthenticationFailed({ detail: error.detail })
    case "UnsupportedByBroker":
      return new UnsupportedByBroker({ request, code, name })
    case "ProducerFenced": {
      const { producerId = -1n, epoch = -1 } = about
      return new ProducerFenced({ transactionalId, producerId, epoch })
    }
    case "TransactionAbortable":
      return new TransactionAbortable({ request, code, name })
    case "BrokerRefused":
      return new BrokerRefused({ request, code, name })
  }
}

const misconfigured = (code: number, topic: string, about: About): Reason => {
  const groupId = JSON.stringify(about.groupId ?? "")
  switch (code) {
    case 23:
      return new Misconfigured({
        setting: "groupId",
        value: groupId,
        problem: "has members that use another protocol or assignment strategy"
      })
    case 24:
      return new Misconfigured({
        setting: "groupId",
        value: groupId,
        problem: "is not a name that Kafka takes"
      })
    case 26:
      return new Misconfigured({
        setting: "sessionTimeout",
        value: `${about.sessionTimeoutMillis ?? "?"} ms`,
        problem: "is outside the broker's group.min and group.max.session.timeout.ms"
      })
    case 50:
      return new Misconfigured({
        setting: "transactionTimeout",
        value: `${about.transactionTimeoutMillis ?? "?"} ms`,
        problem: "is above the broker's transaction.max.timeout.ms; lower it or raise the broker's"
      })
    case 69:
      return new Misconfigured({
        setting: "groupId",
        value: groupId,
        problem: "is a group of another kind, which the broker does not convert; use another name"
      })
    case 111:
      return new Misconfigured({
        setting: "groupInstanceId",
        value: JSON.stringify(about.groupInstanceId ?? ""),
        problem: "is another member's, which has not left the group; give each process its own"
      })
    default:
      return new Misconfigured({
        setting: "topic",
        value: JSON.stringify(topic),
        problem: "is not a name that Kafka takes"
      })
  }
}

const resourceOf = (code: number, topic: string, groupId: string, transactionalId: string) => {
  switch (code) {
    case 29:
      return { resource: "topic", name: topic } as const
    case 30:
      return { resource: "group", name: groupId } as const
    case 53:
      return { resource: "transactional id", name: transactionalId } as const
    default:
      return { resource: "cluster", name: "kafka-cluster" } as const
  }
}
