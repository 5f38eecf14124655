/**
 * A producer session: one `kafka.producer()` with a client and sockets of its own.
 */
import type { Settings } from "@kafka-once/core/ConnectionOptions"
import {
  DriverError,
  type End,
  Failure,
  type OffsetCommit,
  type ProducerIdentity,
  type ProducerSession,
  type Request,
  type SessionOptions
} from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Transaction } from "kafkajs"
import * as Call from "./call.ts"
import * as Client from "./client.ts"
import type { Logging } from "./logging.ts"
import * as Send from "./send.ts"
import type { Session } from "./sessionState.ts"
import * as SocketGate from "./socketGate.ts"

/** How long kafkajs may take to notice that its sockets are gone. Nothing is waited for longer. */
const closeMillis = 250

export const open = Effect.fnUntraced(function*(
  settings: Settings,
  logging: Logging,
  turn: number,
  options: SessionOptions
): Effect.fn.Return<ProducerSession, DriverError, Scope.Scope> {
  const session = yield* connect(settings, logging, turn, options)
  // One call at a time: two sends at once lose one record and double another (K19, P14).
  const oneAtATime = (yield* Semaphore.make(1)).withPermit
  return {
    initialize: oneAtATime(initialize(session)),
    begin: oneAtATime(begin(session)),
    send: (batches) => oneAtATime(Send.send(session, batches)),
    sendOffsets: (offsets) => oneAtATime(sendOffsets(session, offsets)),
    end: (how) => oneAtATime(end(session, how))
  }
})

const make = (
  settings: Settings,
  logging: Logging,
  turn: number,
  options: SessionOptions
): Session => {
  const gate = SocketGate.make()
  const client = Client.make(settings, gate, logging, options.requestTimeoutMillis, turn)
  const { cluster, producer } = client.createProducer({
    transactionalId: options.transactionalId,
    transactionTimeout: options.transactionTimeoutMillis,
    // `true` would cost a second InitProducerId and would have kafkajs repeat for ever (K13, K25);
    // records of a transaction have sequences either way.
    idempotent: false,
    retry: Client.noRetry,
    // Every record comes with its partition, so that a repetition cannot choose another (K7).
    createPartitioner: () => ({ message }) => message.partition ?? -1,
    metadataMaxAge: settings.metadataMaxAgeMillis,
    allowAutoTopicCreation: false,
    // Calls are sequential; `null` is kafkajs' word for no limit.
    maxInFlightRequests: null as unknown as number
  })
  const retell = Client.retell(settings)
  return {
    options,
    gate,
    producer,
    cluster,
    // kafkajs would go on with a connection whose answers have stopped coming. One on which an
    // answer is missing is not used again.
    run: (body) =>
      Effect.tapError(
        Call.run(gate, retell, body),
        // It never rejects, and waits for nobody but the event loop.
        ({ failure }) => failure._tag === "NoAnswer" ? Effect.promise(gate.reset) : Effect.void
      ),
    transaction: null,
    first: null,
    lostSequences: new Set()
  }
}

/**
 * The sockets go first, and with them everything that waits: kafkajs' own `disconnect` waits for
 * answers, and what it repeats afterwards (P3) meets a closed gate.
 */
const close = (session: Session): Effect.Effect<void> =>
  Effect.sync(session.gate.close).pipe(
    Effect.andThen(Effect.tryPromise(() => session.producer.disconnect())),
    Effect.timeout(closeMillis),
    // Nothing of the session can be sent any more, whatever kafkajs says to this.
    Effect.ignore
  )

/**
 * Tries each bootstrap address once, with a client of its own: kafkajs takes a connection for good
 * whose first answer never came. A refusal such as wrong credentials ends it at the first.
 */
const connect = (
  settings: Settings,
  logging: Logging,
  turn: number,
  options: SessionOptions
): Effect.Effect<Session, DriverError, Scope.Scope> => {
  const attempt = (nth: number): Effect.Effect<Session, DriverError, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => make(settings, logging, turn + nth, options)),
      close
    ).pipe(
      Effect.tap((session) => session.run(() => session.producer.connect())),
      Effect.catch((error) =>
        nth + 1 < settings.brokers.length && isSilence(error)
          ? attempt(nth + 1)
          : Effect.fail(error)
      )
    )
  return attempt(0)
}

const isSilence = ({ failure }: DriverError): boolean =>
  failure._tag === "NotSent" || failure._tag === "NoAnswer"

const initialize = (session: Session): Effect.Effect<ProducerIdentity, DriverError> =>
  session.run((call) =>
    // kafkajs initialises and begins at once. A refused initialisation leaves it as it was.
    session.producer.transaction().then((transaction) => {
      session.first = transaction
      return identityOf(call)
    })
  )

/**
 * kafkajs keeps the producer id and epoch to itself: they are in no result and no event. It logs
 * them at DEBUG, but a log is made for people, and the level would have to be forced on every
 * client; the answer's own bytes are Kafka's protocol, and the gate reads them anyway.
 */
const identityOf = (call: SocketGate.Call): ProducerIdentity => {
  const answer = call.exchanges.findLast(({ apiKey }) => apiKey === initProducerIdKey)?.answer
  if (answer?._tag !== "Read" || answer.producer === null) {
    throw new Error("InitProducerId was not answered with a producer id")
  }
  return answer.producer
}

const initProducerIdKey = 22

const begin = (session: Session): Effect.Effect<void, DriverError> =>
  Effect.suspend(() => {
    session.gate.startTransaction()
    if (session.first !== null) {
      session.transaction = session.first
      session.first = null
      return Effect.void
    }
    return session.run(() =>
      session.producer.transaction().then((transaction) => {
        session.transaction = transaction
      })
    )
  })

const withTransaction = <A>(
  session: Session,
  request: Request,
  body: (transaction: Transaction, call: SocketGate.Call) => Promise<A>
): Effect.Effect<A, DriverError> =>
  Effect.suspend(() => {
    const { transaction } = session
    return transaction === null
      ? Effect.fail(
        new DriverError({
          request,
          failure: Failure.Refused(),
          detail: "The session has no open transaction"
        })
      )
      : session.run((call) => body(transaction, call))
  })

/**
 * kafkajs sends no EndTxn for a transaction in which it has seen no registration succeed. After one
 * whose answer was lost the broker's transaction is open, and kafkajs' "done" must not be believed.
 */
const end = (session: Session, how: End): Effect.Effect<void, DriverError> =>
  withTransaction(
    session,
    "EndTxn",
    (transaction, call) =>
      (how === "commit" ? transaction.commit() : transaction.abort()).then(() =>
        call.exchanges.some(({ apiKey }) => apiKey === endTxnKey)
      )
  ).pipe(
    Effect.flatMap((sent) =>
      sent || !session.gate.mayBeRegistered() ? Effect.void : Effect.fail(
        new DriverError({
          request: "EndTxn",
          failure: Failure.NotSent(),
          detail: "kafkajs takes the transaction for empty, but it may be registered"
        })
      )
    )
  )

const endTxnKey = 26

const sendOffsets = (session: Session, offsets: OffsetCommit): Effect.Effect<void, DriverError> =>
  withTransaction(session, "AddOffsetsToTxn", (transaction) => {
    const topics = Map.groupBy(offsets.positions, ({ topic }) => topic)
    return transaction.sendOffsets({
      consumerGroupId: offsets.groupId,
      topics: Array.from(topics, ([topic, positions]) => ({
        topic,
        partitions: positions.map(({ offset, partition }) => ({
          partition,
          offset: offset.toString(),
          // kafkajs passes it on, although its types do not say so.
          metadata: offsets.metadata
        }))
      }))
    })
  })
