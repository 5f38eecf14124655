/**
 * A network that is cut at a marked moment of a transaction, with a witness that it was: a
 * connection of nobody's client whose one request does not get through, or is not answered, until
 * the network is healed.
 */
import { assert } from "@effect/vitest"
import type { FaultProxyError } from "@kafka-once/testing/FaultProxyError"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Bench } from "../ProducerBench.ts"

/** Which way nothing gets through. */
export type Direction = "both" | "requests" | "responses"

export const directions: ReadonlyArray<Direction> = ["both", "requests", "responses"]

/** How far the transaction is when the network is cut. */
export type Moment =
  | "before the first Produce"
  | "while the Produce is on its way"
  | "while the commit is on its way"

export const moments: ReadonlyArray<Moment> = [
  "before the first Produce",
  "while the Produce is on its way",
  "while the commit is on its way"
]

export interface Cut {
  /** For the body of the transaction, before it sends: cuts, if this is the moment. */
  readonly beforeSend: Effect.Effect<void, FaultProxyError | ProtocolClient.ProtocolError>
  /** Completes when the network is cut, with the time. */
  readonly down: Effect.Effect<number, FaultProxyError | ProtocolClient.ProtocolError>
  /** Heals the network, after a look at what the witness saw of the cut. */
  readonly heal: Effect.Effect<void, FaultProxyError | ProtocolClient.ProtocolError>
  /** Delivers the request that was on its way, where it did not reach the broker. */
  readonly deliver: Effect.Effect<void, FaultProxyError>
}

type Failure = FaultProxyError | ProtocolClient.ProtocolError

/**
 * Prepares a cut of the next transaction of a bench.
 *
 * The request that is on its way stops at the proxy until the network is cut. Where only answers
 * are lost it goes on then; else it arrives when {@link Cut.deliver} says so, which may be after
 * its client has given it up.
 */
export const make = (
  bench: Bench,
  moment: Moment,
  direction: Direction
): Effect.Effect<Cut, Failure, Scope.Scope> =>
  Effect.gen(function*() {
    const { proxy, transactionalId } = bench
    const gate = `${transactionalId}: ${moment}`
    const isHeld = moment !== "before the first Produce"
    const cut = yield* Deferred.make<number, Failure>()
    const witness = yield* makeWitness(bench, direction)
    const down = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      yield* proxy.blackhole(direction)
      yield* witness.send
      return now
    }).pipe(Deferred.into(cut), Effect.asVoid)
    if (isHeld) {
      const match = moment === "while the Produce is on its way"
        ? { api: "Produce", nth: 1, transactionalId } as const
        : { api: "EndTxn", commit: true, nth: 1, transactionalId } as const
      const rule = yield* proxy.inject(FaultProxyRule.hold(match, gate))
      yield* rule.fired.pipe(
        Effect.andThen(down),
        Effect.andThen(direction === "responses" ? proxy.release(gate) : Effect.void),
        Effect.forkScoped
      )
    }
    return {
      beforeSend: isHeld ? Effect.void : down,
      down: Deferred.await(cut),
      heal: Effect.andThen(witness.assertCutOff, Effect.andThen(proxy.heal, witness.assertHealed)),
      deliver: isHeld && direction !== "responses"
        ? Effect.asVoid(proxy.release(gate))
        : Effect.void
    }
  })

const makeWitness = (
  { proxy, transactionalId }: Bench,
  direction: Direction
) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clientId = `witness of ${transactionalId}`
    const client = yield* ProtocolClient.connect(proxy.host, proxy.port, {
      clientId,
      requestTimeout: "1 minute"
    })
    yield* client.request("ListGroups", 3, {})
    const after = yield* proxy.log.position
    const asked = yield* Deferred.make<void, Failure>()
    return {
      send: client.request("ListGroups", 3, {}).pipe(
        Effect.asVoid,
        Deferred.into(asked),
        Effect.forkIn(scope, { startImmediately: true }),
        Effect.andThen(proxy.log.awaitFrame({
          api: "ListGroups",
          clientId,
          phase: direction === "responses" ? "response" : "request"
        }, { after }))
      ),
      assertCutOff: Effect.map(proxy.log.entries, (entries) => {
        const entry = entries.findLast((entry) => entry.clientId === clientId)
        assert.strictEqual(entry?.forwardedMillis === null, direction !== "responses")
        assert.strictEqual(entry?.answer?.delivered, direction === "responses" ? false : undefined)
      }),
      assertHealed: Deferred.await(asked)
    }
  })
