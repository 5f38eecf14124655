/**
 * The connections to each broker, shared by everything in the driver: a few for each, because a
 * broker handles one request of a connection at a time.
 */
import type { DriverError } from "@kafka-once/core/KafkaDriver"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type Address, keyOf } from "./address.ts"
import { notSent } from "./failure.ts"
import * as Link from "./link.ts"
import type { Message } from "./message.ts"
import type { Settings } from "./settings.ts"

export { keyOf }

export interface Brokers {
  /** One request to one broker, one attempt. */
  readonly request: <A>(
    address: Address,
    message: Message<A>,
    timeoutMillis: number
  ) => Effect.Effect<A, DriverError>
  /** Whether a connection to the broker is open. */
  readonly isConnected: (address: Address) => boolean
  /** Asks a broker anew which features its cluster has, over a connection of its own. */
  readonly askFeatures: (address: Address) => Effect.Effect<void, DriverError>
  /** The version of the transaction protocol, as the newest answer of a broker tells it. */
  readonly transactionVersion: () => 1 | 2
}

/** The versions of the messages that make up version 2 of the transaction protocol (KIP-890). */
const secondVersion: ReadonlyArray<readonly [key: number, version: number]> = [
  [0, 12],
  [26, 5],
  [28, 5]
]

interface Broker {
  readonly address: Address
  readonly links: Set<Link.Link>
  readonly opening: Set<Deferred.Deferred<Link.Link, DriverError>>
  /** Until then no second connection is tried: the last attempt at one failed. */
  contentUntilMillis: number
}

/** How long a broker that refuses another connection is left alone with those that it has. */
const contentMillis = 1_000

export const make = Effect.fnUntraced(function*(
  settings: Settings
): Effect.fn.Return<Brokers, never, Scope.Scope> {
  const brokers = new Map<string, Broker>()
  let closed = false
  let features = { epoch: -2n, version: 1 as 1 | 2 }

  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) =>
    Effect.suspend(() => {
      closed = true
      const links = [...brokers.values()].flatMap((broker) => [...broker.links])
      return Effect.andThen(
        // What is still being opened is interrupted with the scope.
        Scope.close(scope, Exit.void),
        Effect.forEach(links, (link) => link.close, { concurrency: "unbounded", discard: true })
      )
    }))

  const brokerAt = (address: Address): Broker => {
    const key = keyOf(address)
    let broker = brokers.get(key)
    if (broker === undefined) {
      broker = { address, links: new Set(), opening: new Set(), contentUntilMillis: 0 }
      brokers.set(key, broker)
    }
    return broker
  }

  const noteFeatures = ({ featuresEpoch, transactionVersion, versions }: Link.Link["offered"]) => {
    // A broker that is behind must not take the cluster back to an older version.
    if (featuresEpoch < features.epoch) return
    const speaks = secondVersion.every(([key, version]) => (versions.get(key)?.[1] ?? 0) >= version)
    features = { epoch: featuresEpoch, version: transactionVersion >= 2 && speaks ? 2 : 1 }
  }

  const openLink = (broker: Broker) => {
    const opened = Deferred.makeUnsafe<Link.Link, DriverError>()
    broker.opening.add(opened)
    const drop = (link: Link.Link) => {
      broker.links.delete(link)
    }
    return Link.open(settings, broker.address, drop).pipe(
      Effect.tap((link) =>
        Effect.sync(() => {
          noteFeatures(link.offered)
          if (link.isOpen()) broker.links.add(link)
        })
      ),
      Effect.onExit((exit) => {
        broker.opening.delete(opened)
        return Deferred.done(
          opened,
          Exit.isFailure(exit) && Exit.hasInterrupts(exit) ? Exit.fail(isClosed) : exit
        )
      }),
      Effect.catch(() =>
        // The failure itself is told to those who wait for it.
        Effect.clockWith((clock) =>
          Effect.sync(() => {
            broker.contentUntilMillis = clock.currentTimeMillisUnsafe() + contentMillis
          })
        )
      ),
      Effect.forkIn(scope, { startImmediately: true }),
      Effect.as(opened)
    )
  }

  const lease = (address: Address): Effect.Effect<Link.Link, DriverError> =>
    Effect.suspend(() => {
      if (closed) return Effect.fail(isClosed)
      const broker = brokerAt(address)
      const link = leastLoaded(broker.links)
      const [opening] = broker.opening
      // While nothing is open one connection is tried at a time, by which the others learn whether
      // the broker takes any.
      if (link === null) {
        return opening === undefined
          ? Effect.flatMap(openLink(broker), Deferred.await)
          : Deferred.await(opening)
      }
      const isFull = broker.links.size + broker.opening.size >= settings.connectionsPerBroker
      return link.load() === 0 || isFull
        ? Effect.succeed(link)
        : Effect.as(openAnother(broker), link)
    })

  const openAnother = (broker: Broker) =>
    Effect.clockWith((clock) =>
      clock.currentTimeMillisUnsafe() < broker.contentUntilMillis
        ? Effect.void
        : Effect.asVoid(openLink(broker))
    )

  return {
    request: (address, message, timeoutMillis) =>
      Effect.flatMap(lease(address), (link) => link.request(message, timeoutMillis)),
    isConnected: (address) => (brokers.get(keyOf(address))?.links.size ?? 0) > 0,
    askFeatures: (address) =>
      Effect.scoped(
        Effect.map(
          Effect.acquireRelease(Link.open(settings, address, () => {}), (link) => link.close),
          ({ offered }) => noteFeatures(offered)
        )
      ),
    transactionVersion: () => features.version
  }
})

const isClosed = notSent("Connect", "The driver is closed")

/** Of connections that are equally busy the one that was used longest ago has its turn. */
const leastLoaded = (links: Set<Link.Link>): Link.Link | null => {
  let best: Link.Link | null = null
  for (const link of links) {
    if (link.isOpen() && (best === null || link.load() < best.load())) best = link
  }
  if (best !== null) {
    links.delete(best)
    links.add(best)
  }
  return best
}
