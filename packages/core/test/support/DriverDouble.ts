/**
 * A driver in memory, over a {@link BrokerDouble}: it logs every call of the port, and its faults
 * are data. A fault that a test scripts and that never fires fails the test, and so does a session
 * that is left open.
 */
import {
  type Appended,
  type Capabilities,
  DriverError,
  type End,
  Failure,
  KafkaDriver,
  type PartitionBatch,
  type ProducerIdentity,
  type ProducerSession,
  type Request,
  type SessionOptions
} from "@kafka-once/core/KafkaDriver"
import { toKey } from "@kafka-once/core/TopicPartition"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as BrokerDouble from "./BrokerDouble.ts"
import * as ConsumerDouble from "./ConsumerDouble.ts"
import { Fault, type Operation } from "./Fault.ts"

export { Fault, type Operation }

/** One call of the port, as it came. */
export interface Call {
  readonly operation: Operation
  readonly session: number
  readonly transactionalId: string
  readonly identity: ProducerIdentity | null
  readonly atMillis: number
  readonly batches: ReadonlyArray<PartitionBatch>
  /** What a session was opened with. */
  readonly resume: ProducerIdentity | null
}

interface Script {
  readonly operation: Operation
  readonly fault: Fault
  /** How many calls of the operation pass before it. */
  after: number
  /** How often it still has to fire; `null` for every call from then on. */
  left: number | null
  fired: boolean
}

export const fullCapabilities: Capabilities = {
  groupFencing: true,
  stableOffsets: true,
  epochBump: false,
  transactionVersion: 1,
  commitRetry: true,
  correctReadCommitted: true,
  revocationHold: true,
  staticMembership: true,
  consumerGroupProtocol: true,
  lastStableOffset: true
}

export interface Options {
  readonly topics?: { readonly [topic: string]: number }
  /** The cluster of another double, in place of one of its own. */
  readonly broker?: BrokerDouble.BrokerDouble
  readonly capabilities?: Partial<Capabilities>
  /** Asked for a fault where no script has one. */
  readonly chaos?: (operation: Operation) => Fault | null
  /** How many records a consumer's fetch answers, about. */
  readonly fetchRecords?: () => number
}

export type DriverDouble = Effect.Success<ReturnType<typeof make>>

interface State {
  readonly broker: BrokerDouble.BrokerDouble
  readonly calls: Array<Call>
  readonly scripts: Array<Script>
  readonly late: Array<() => void>
  readonly open: Set<number>
  readonly reached: Array<readonly [Operation, Deferred.Deferred<void>]>
  readonly chaos: (operation: Operation) => Fault | null
  readonly fetchRecords: () => number
  readonly consumers: Array<ConsumerDouble.Opened>
  sessions: number
  mostOpen: number
}

/** Makes a driver whose scripts and sessions are checked when the test's scope closes. */
export const make = (options: Options = {}) =>
  Effect.gen(function*() {
    const broker = options.broker ?? BrokerDouble.make(options.topics ?? { orders: 3, audit: 1 })
    const state: State = {
      broker,
      calls: [],
      scripts: [],
      late: [],
      open: new Set(),
      reached: [],
      chaos: options.chaos ?? (() => null),
      fetchRecords: options.fetchRecords ?? (() => 10),
      consumers: [],
      sessions: 0,
      mostOpen: 0
    }
    yield* Effect.addFinalizer((exit) => Exit.isSuccess(exit) ? check(state) : Effect.void)
    return {
      broker,
      calls: state.calls,
      /** The consumer sessions, in the order of their opening. */
      consumers: state.consumers,
      scripts: state.scripts,
      driver: makeDriver(state, { ...fullCapabilities, ...options.capabilities }),
      /** The next call of an operation, or the nth from now, meets a fault. */
      script: (operation: Operation, fault: Fault, nth = 1): void => {
        state.scripts.push({ operation, fault, after: nth - 1, left: 1, fired: false })
      },
      /** Every call of an operation from now on meets a fault. */
      always: (operation: Operation, fault: Fault): void => {
        state.scripts.push({ operation, fault, after: 0, left: null, fired: false })
      },
      /** Ends what `always` began. */
      heal: (): void => {
        for (const script of state.scripts) script.left = script.fired ? 0 : script.left
      },
      /** Lets every request that is late arrive at the broker. */
      releaseLate: Effect.sync(() => {
        for (const act of state.late.splice(0)) act()
      }),
      /** Waits for the next call of an operation. */
      next: (operation: Operation): Effect.Effect<void> =>
        Effect.suspend(() => {
          const deferred = Deferred.makeUnsafe<void>()
          state.reached.push([operation, deferred])
          return Deferred.await(deferred)
        }),
      openSessions: () => state.open.size,
      mostOpenSessions: () => state.mostOpen,
      operations: () => state.calls.map((call) => call.operation),
      count: (operation: Operation) =>
        state.calls.filter((call) => call.operation === operation).length,
      /** The values that a reader under read_committed sees. */
      visible: () => broker.visible().map(({ record }) => text(record.value)),
      written: () => broker.written().map(({ value }) => text(value))
    }
  })

/** A key or a value as text. */
export const text = (bytes: Uint8Array | null): string =>
  bytes === null ? "null" : new TextDecoder().decode(bytes)

const check = (state: State): Effect.Effect<void> =>
  Effect.suspend(() => {
    const unfired = state.scripts.filter(({ fired }) => !fired)
    const left = state.consumers.filter(({ isOpen }) => isOpen)
    const problems = [
      ...(left.length > 0 ? [`${left.length} consumers are still open`] : []),
      ...unfired.map(({ operation, fault }) => `${fault._tag} of ${operation} never fired`),
      ...(state.open.size > 0 ? [`${state.open.size} sessions are still open`] : [])
    ]
    return problems.length === 0 ? Effect.void : Effect.die(new Error(problems.join("; ")))
  })

const faultFor = (state: State, operation: Operation): Fault | null => {
  for (const script of state.scripts) {
    if (script.operation !== operation || script.left === 0) continue
    if (script.after > 0) {
      script.after -= 1
      continue
    }
    script.fired = true
    if (script.left !== null) script.left -= 1
    return script.fault
  }
  return state.chaos(operation)
}

interface Who {
  readonly session: number
  readonly transactionalId: string
  readonly identity: ProducerIdentity | null
  readonly resume: ProducerIdentity | null
}

const nobody: Who = { session: 0, transactionalId: "", identity: null, resume: null }

interface Request_<A> {
  readonly operation: Operation
  readonly request: Request
  readonly who: Who
  readonly batches?: ReadonlyArray<PartitionBatch>
  readonly act: (nowMillis: number, fault: Fault | null) => BrokerDouble.Answer<A>
}

const perform = <A>(state: State, spec: Request_<A>): Effect.Effect<A, DriverError> =>
  Clock.clockWith((clock) => {
    const { operation, request, who } = spec
    const now = () => clock.currentTimeMillisUnsafe()
    state.calls.push({ operation, ...who, atMillis: now(), batches: spec.batches ?? [] })
    const fail = (failure: Failure, of: Request = request) =>
      Effect.fail(
        new DriverError({ request: of, failure, detail: `${operation} was made to fail` })
      )
    const act = (fault: Fault | null = null): Effect.Effect<A, DriverError> => {
      const answer = spec.act(now(), fault)
      return "value" in answer
        ? Effect.succeed(answer.value)
        : fail(Failure.Answered({ code: answer.code }))
    }
    const fault = faultFor(state, operation)
    const outcome = Effect.suspend((): Effect.Effect<A, DriverError> => {
      if (fault === null) return act()
      switch (fault._tag) {
        case "Answer":
          // A refused Produce has registered its partitions before.
          return operation === "send" && fault.request === undefined
            ? act(fault)
            : fail(Failure.Answered({ code: fault.code }), fault.request)
        case "NoAnswer":
          return fail(Failure.NoAnswer())
        case "NoCoordinator":
          return fail(Failure.NoAnswer(), "FindCoordinator")
        case "ActNoAnswer":
          return Effect.andThen(Effect.exit(act()), fail(Failure.NoAnswer()))
        case "NotSent":
          return fail(Failure.NotSent())
        case "Refused":
          return fail(Failure.Refused())
        case "NotKafka":
          return fail(Failure.NotKafka())
        case "Hang":
          return Effect.never
        case "ActHang":
          return Effect.andThen(Effect.exit(act()), Effect.never)
        case "Late":
          state.late.push(() => spec.act(now(), null))
          return fail(Failure.NoAnswer())
        case "Delay":
          return Effect.andThen(Effect.sleep(fault.by), Effect.suspend(() => act()))
        case "Gate":
          return Effect.andThen(Deferred.await(fault.latch), Effect.suspend(() => act()))
        case "Die":
          return Effect.die(new Error(`the driver died in ${operation}`))
      }
    })
    return Effect.andThen(Effect.sync(() => tellReached(state, operation)), outcome)
  })

const tellReached = (state: State, operation: Operation): void => {
  for (let i = state.reached.length - 1; i >= 0; i--) {
    if (state.reached[i]![0] !== operation) continue
    const [[, deferred]] = state.reached.splice(i, 1) as [
      readonly [Operation, Deferred.Deferred<void>]
    ]
    Deferred.doneUnsafe(deferred, Effect.void)
  }
}

const makeDriver = (state: State, capabilities: Capabilities): KafkaDriver["Service"] => {
  const { broker } = state
  return KafkaDriver.of({
    name: "double",
    capabilities,
    probe: perform(state, {
      operation: "probe",
      request: "Metadata",
      who: nobody,
      act: () => ({ value: undefined })
    }),
    partitionCount: (topic) =>
      perform(state, {
        operation: "partitionCount",
        request: "Metadata",
        who: nobody,
        act: () => broker.partitionCount(topic)
      }),
    openSession: (options) => openSession(state, options, capabilities),
    endMarker: (at, offset, producerId) =>
      perform(state, {
        operation: "endMarker",
        request: "Fetch",
        who: nobody,
        act: (now) => {
          broker.expire(now)
          return { value: broker.endMarker(at, offset, producerId) }
        }
      }),
    committedOffsets: (groupId, partitions) =>
      perform(state, {
        operation: "committedOffsets",
        request: "OffsetFetch",
        who: nobody,
        act: (now) => {
          broker.expire(now)
          return capabilities.stableOffsets &&
              partitions.some((at) => broker.isUnstable(groupId, at))
            ? { code: BrokerDouble.codes.UNSTABLE_OFFSET_COMMIT }
            : { value: partitions.map((at) => broker.committedOffset(groupId, at)) }
        }
      }),
    openConsumer: (session) =>
      ConsumerDouble.open({
        broker,
        holds: capabilities.revocationHold,
        tellsStable: capabilities.lastStableOffset,
        fetchRecords: state.fetchRecords,
        perform: (operation, request, act) =>
          perform(state, { operation, request, who: nobody, act }),
        opened: state.consumers,
        session
      })
  })
}

const openSession = (
  state: State,
  options: SessionOptions,
  capabilities: Capabilities
): Effect.Effect<ProducerSession, DriverError, Scope.Scope> =>
  Effect.gen(function*() {
    const { resume = null, transactionalId, transactionTimeoutMillis } = options
    const session = ++state.sessions
    const who: Who = { session, transactionalId, identity: null, resume }
    yield* perform(state, {
      operation: "openSession",
      request: "Connect",
      who,
      act: () => ({ value: undefined })
    })
    const scope = yield* Effect.scope
    state.open.add(session)
    state.mostOpen = Math.max(state.mostOpen, state.open.size)
    const connection = { ...who, closed: false, transactionTimeoutMillis }
    yield* Scope.addFinalizer(scope, closeSession(state, connection))
    return makeSession(state, connection, capabilities)
  })

interface Connection {
  readonly session: number
  readonly transactionalId: string
  readonly transactionTimeoutMillis: number
  readonly resume: ProducerIdentity | null
  identity: ProducerIdentity | null
  closed: boolean
}

const closeSession = (state: State, connection: Connection): Effect.Effect<void> =>
  Effect.suspend(() => {
    connection.closed = true
    state.open.delete(connection.session)
    // The port has no failure of it.
    return Effect.ignore(perform(state, {
      operation: "close",
      request: "Connect",
      who: connection,
      act: () => ({ value: undefined })
    }))
  })

const makeSession = (
  state: State,
  connection: Connection,
  { epochBump, groupFencing }: Capabilities
): ProducerSession => {
  const { broker } = state
  const { transactionalId } = connection
  // A sequence moves on when its batch is acknowledged, so that what is sent again keeps it.
  const sequences = new Map<string, number>()
  const advance = (
    batches: ReadonlyArray<PartitionBatch>,
    answers: ReadonlyArray<Result.Result<Appended, DriverError>>
  ) => {
    for (const [i, batch] of batches.entries()) {
      if (Result.isFailure(answers[i]!)) continue
      sequences.set(toKey(batch), (sequences.get(toKey(batch)) ?? 0) + batch.records.length)
    }
  }
  const call = <A>(
    operation: Operation,
    request: Request,
    act: Request_<A>["act"],
    batches: ReadonlyArray<PartitionBatch> = []
  ): Effect.Effect<A, DriverError> =>
    Effect.suspend(() => {
      const { closed, identity, resume, session } = connection
      return closed
        ? Effect.fail(new DriverError({ request, failure: Failure.NotSent(), detail: "closed" }))
        : perform(state, {
          operation,
          request,
          act,
          batches,
          who: { session, transactionalId, identity, resume }
        })
    })

  return {
    initialize: call("initialize", "InitProducerId", (now) => {
      const { resume, transactionTimeoutMillis: timeout } = connection
      const answer = resume === null
        ? { value: broker.initialize(transactionalId, timeout, now) }
        : broker.resume(transactionalId, timeout, now, resume)
      if ("value" in answer) connection.identity = answer.value
      return answer
    }),
    begin: call("begin", "AddPartitionsToTxn", () => ({ value: undefined })),
    send: (batches) => {
      // A request that arrives late has the sequences with which it was sent.
      const first = batches.map((batch) => sequences.get(toKey(batch)) ?? 0)
      return call(
        "send",
        "Produce",
        (now, fault) => ({
          value: batches.map((batch, i) => {
            const isRefused = fault?._tag === "Answer" &&
              (fault.partition ?? batch.partition) === batch.partition
            if (isRefused) broker.register(transactionalId, connection.identity!, batch, now)
            return isRefused
              ? refused(fault.code)
              : toResult(
                broker.append(transactionalId, connection.identity!, batch, first[i]!, now)
              )
          })
        }),
        batches
      ).pipe(
        Effect.tap((answers) => Effect.sync(() => advance(batches, answers))),
        Effect.catch((error) => Effect.succeed(batches.map(() => Result.fail(error))))
      )
    },
    sendOffsets: (offsets) =>
      call(
        "sendOffsets",
        "TxnOffsetCommit",
        (now) =>
          broker.addOffsets(transactionalId, connection.identity!, offsets, now, groupFencing)
      ),
    end: (end: End) =>
      call(end, "EndTxn", (now) => broker.end(transactionalId, connection.identity!, end, now)),
    ...epochBump
      ? {
        resumption: () =>
          connection.identity === null ? null : {
            ...connection.identity,
            leftOpen: null
          }
      }
      : {}
  }
}

const refused = (code: number) =>
  Result.fail(
    new DriverError({ request: "Produce", failure: Failure.Answered({ code }), detail: "refused" })
  )

const toResult = <A>(answer: BrokerDouble.Answer<A>): Result.Result<A, DriverError> =>
  "value" in answer ? Result.succeed(answer.value) : refused(answer.code)
