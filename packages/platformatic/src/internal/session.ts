/**
 * A producer session: one transactional id and who acts for it, over the driver's shared
 * connections.
 *
 * Once it is closed it sends nothing more. What is on its way cannot be taken back from a shared
 * connection, and is made harmless by the fence of the next session.
 */
import type {
  DriverError,
  End,
  OffsetCommit,
  ProducerIdentity,
  ProducerSession,
  Request,
  Resumption,
  SessionOptions
} from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { describeTransaction } from "./adminRequests.ts"
import type { Cluster } from "./cluster.ts"
import { answered, notSent, refused } from "./failure.ts"
import * as Requests from "./requests.ts"
import { expectedOf } from "./resumption.ts"
import * as Send from "./send.ts"
import * as Sequences from "./sequences.ts"
import {
  coordinate,
  monotonicMillisOf,
  noteRegistration,
  type OpenTransaction,
  type SessionState
} from "./sessionState.ts"
import type { Settings } from "./settings.ts"

/** Finds the coordinator: who cannot reach it, or has no right to the id, gets no session. */
export const open = (
  settings: Settings,
  cluster: Cluster,
  options: SessionOptions
): Effect.Effect<ProducerSession, DriverError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(
      cluster.coordinator("transaction", options.transactionalId),
      (): SessionState => ({
        settings,
        cluster,
        options,
        sequences: Sequences.make(),
        actor: { transactionalId: options.transactionalId, ...nobody },
        transaction: null,
        endedAtMillis: null,
        closed: false
      })
    ),
    (state) =>
      Effect.sync(() => {
        state.closed = true
      }),
    // Nothing is held until the coordinator is found.
    { interruptible: true }
  ).pipe(
    Effect.map((state) => ({
      initialize: initialize(state),
      begin: begin(state),
      send: (batches) => Send.send(state, batches),
      sendOffsets: (offsets) => sendOffsets(state, offsets),
      end: (how) => end(state, how),
      identity: () => state.actor,
      resumption: () => resumptionOf(state)
    }))
  )

/** Who has no producer id yet, and takes the transactional id from whoever has one (I6). */
const nobody: ProducerIdentity = { producerId: -1n, epoch: -1 }

const resumptionOf = ({ actor, transaction }: SessionState): Resumption | null =>
  actor.producerId < 0n ? null : {
    producerId: actor.producerId,
    epoch: actor.epoch,
    leftOpen: transaction?.mayBeRegistered === true ? transaction.protocol : null
  }

const initialize = (state: SessionState): Effect.Effect<ProducerIdentity, DriverError> =>
  Effect.suspend(() => {
    const { resume } = state.options
    return resume === undefined ? initializeAs(state, nobody) : Effect.flatMap(
      expected(state, resume),
      (who) => {
        if (who === null) {
          return Effect.fail(
            answered("InitProducerId", producerFenced, "Another instance took over")
          )
        }
        // As the coordinator itself answers as long as markers are on their way.
        return who === "later"
          ? Effect.fail(answered("InitProducerId", concurrentTransactions, "Markers are written"))
          : initializeAs(state, who)
      }
    )
  })

const initializeAs = (
  state: SessionState,
  who: ProducerIdentity
): Effect.Effect<ProducerIdentity, DriverError> => {
  const { transactionTimeoutMillis, transactionalId } = state.options
  const message = Requests.initProducerId(transactionalId, transactionTimeoutMillis, who)
  return Effect.map(
    coordinate(state, "transaction", transactionalId, message, (answer) => codeOf(message, answer)),
    ({ identity }) => {
      become(state, identity)
      return identity
    }
  )
}

/** Whom InitProducerId is to expect, as the coordinator knows the transactional id now. */
const expected = (
  state: SessionState,
  resume: Resumption
): Effect.Effect<ReturnType<typeof expectedOf>, DriverError> => {
  const { transactionalId } = state.options
  const message = describeTransaction(transactionalId)
  return coordinate(
    state,
    "transaction",
    transactionalId,
    message,
    (answer) => codeOf(message, answer)
  ).pipe(
    Effect.map(({ description }) => expectedOf(resume, description)),
    Effect.catch((error) => {
      if (error.failure._tag === "Answered") {
        // The id has expired, and nobody has taken it since: it is made anew.
        if (error.failure.code === transactionalIdNotFound) return Effect.succeed(resume)
        // Before Kafka 3.0 nobody can be asked.
        if (error.failure.code === unsupportedVersion) return Effect.succeed(nobody)
      }
      return Effect.fail(error)
    })
  )
}

const unsupportedVersion = 35
const concurrentTransactions = 51
const producerFenced = 90
const transactionalIdNotFound = 105

/** A new epoch: nothing that was written under the last one can be appended any more. */
const become = (state: SessionState, identity: ProducerIdentity): void => {
  state.actor = { transactionalId: state.options.transactionalId, ...identity }
  state.sequences.reset()
}

const codeOf = (
  { request }: { readonly request: Request },
  { code }: { readonly code: number }
): DriverError | null => code === 0 ? null : answered(request, code)

const begin = (state: SessionState): Effect.Effect<void, DriverError> =>
  Effect.flatMap(state.cluster.transactionVersion, (protocol) => {
    const refusal = refusalToBegin(state)
    if (refusal !== null) return Effect.fail(refused("AddPartitionsToTxn", refusal))
    state.sequences.forget()
    state.transaction = {
      protocol,
      partitions: new Set(),
      groups: new Set(),
      mayBeRegistered: false,
      ending: null
    }
    return Effect.void
  })

const refusalToBegin = ({ actor, closed, sequences, transaction }: SessionState): string | null => {
  if (closed) return "The session is closed"
  if (actor.producerId < 0n) return "The session is not initialised"
  if (transaction !== null) return "The session has an open transaction"
  return sequences.areClear()
    ? null
    : "The fate of a batch is not known; the session must be replaced"
}

const withTransaction = <A>(
  state: SessionState,
  request: Request,
  body: (transaction: OpenTransaction) => Effect.Effect<A, DriverError>
): Effect.Effect<A, DriverError> =>
  Effect.suspend(() => {
    if (state.closed) return Effect.fail(notSent(request, "The session is closed"))
    const { transaction } = state
    return transaction === null
      ? Effect.fail(refused(request, "The session has no open transaction"))
      : body(transaction)
  })

const sendOffsets = (
  state: SessionState,
  offsets: OffsetCommit
): Effect.Effect<void, DriverError> =>
  withTransaction(state, "AddOffsetsToTxn", (transaction) =>
    Effect.andThen(
      registerGroup(state, transaction, offsets.groupId),
      Effect.suspend(() => {
        const message = Requests.txnOffsetCommit(state.actor, offsets, transaction.protocol)
        // At version 2 the group is registered by the offsets themselves.
        transaction.mayBeRegistered = true
        return coordinate(state, "group", offsets.groupId, message, (codes) => {
          const failed = codes.find(({ code }) => code !== 0)
          return failed === undefined ? null : answered("TxnOffsetCommit", failed.code)
        })
      })
    ))

const registerGroup = (
  state: SessionState,
  transaction: OpenTransaction,
  groupId: string
): Effect.Effect<void, DriverError> => {
  if (transaction.protocol === 2 || transaction.groups.has(groupId)) return Effect.void
  const { transactionalId } = state.options
  const message = Requests.addOffsetsToTxn(state.actor, groupId)
  return coordinate(
    state,
    "transaction",
    transactionalId,
    message,
    (code) => codeOf(message, { code })
  ).pipe(
    noteRegistration(transaction),
    Effect.map(() => {
      transaction.groups.add(groupId)
    })
  )
}

const end = (state: SessionState, how: End): Effect.Effect<void, DriverError> =>
  withTransaction(state, "EndTxn", (transaction) => {
    if (transaction.ending !== null && transaction.ending !== how) {
      return Effect.fail(
        refused("EndTxn", `The transaction was asked to ${transaction.ending} before`)
      )
    }
    if (!transaction.mayBeRegistered) {
      state.transaction = null
      return Effect.void
    }
    transaction.ending = how
    const { transactionalId } = state.options
    const message = Requests.endTxn(state.actor, how === "commit", transaction.protocol)
    return Effect.flatMap(
      coordinate(
        state,
        "transaction",
        transactionalId,
        message,
        (answer) => codeOf(message, answer)
      ),
      ({ next }) =>
        Effect.clockWith((clock) =>
          Effect.sync(() => {
            state.transaction = null
            if (next === null) return
            become(state, next)
            state.endedAtMillis = monotonicMillisOf(clock)
          })
        )
    )
  })
