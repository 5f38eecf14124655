/**
 * Several nodes as one: who leads what, by the word of all that run, and the waiting for replicas.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"
import type { EmbeddedKafkaNode } from "../EmbeddedKafkaNode.ts"
import * as ClusterView from "./clusterView.ts"
import { withLiveClock } from "./liveClock.ts"

const agreementLimit = "10 seconds"
const inSyncLimit = "60 seconds"

/** A node, and how it is asked. */
export interface Member {
  readonly node: EmbeddedKafkaNode
  readonly asked: ClusterView.Asked
}

type Failed = EmbeddedKafkaError.EmbeddedKafkaError

/** All nodes at once. */
export const each = <E>(
  members: ReadonlyArray<Member>,
  action: (node: EmbeddedKafkaNode) => Effect.Effect<void, E>
): Effect.Effect<void, E> =>
  Effect.forEach(members, ({ node }) => action(node), { concurrency: "unbounded", discard: true })

/** Those that can be asked. */
export const running = <M extends Member>(members: ReadonlyArray<M>) =>
  Effect.filter(members, ({ node }) => Effect.map(node.status, (status) => status === "running"))

/** Repeats a check until it succeeds; what it failed with last is told when the time is over. */
const awaited = <A>(
  request: string,
  limit: "10 seconds" | "60 seconds",
  check: Effect.Effect<A, string>
): Effect.Effect<A, Failed> =>
  check.pipe(
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ duration: limit }))),
    Effect.mapError((detail) => ClusterView.notSeen(request, `after ${limit}: ${detail}`)),
    withLiveClock
  )

/**
 * What all running nodes say alike. One that has just been thawed still believes what was so when
 * it was frozen, so that the first answer is not enough.
 */
const agreed = <A>(
  members: ReadonlyArray<Member>,
  request: string,
  ask: (asked: ClusterView.Asked) => Effect.Effect<A, string>
): Effect.Effect<A, Failed> =>
  awaited(
    request,
    agreementLimit,
    Effect.gen(function*() {
      const asked = yield* running(members)
      const answers = yield* Effect.forEach(asked, ({ asked }) => ask(asked), {
        concurrency: "unbounded"
      })
      const [first] = answers
      if (first === undefined) return yield* Effect.fail("no node is running")
      const texts = answers.map((answer) => JSON.stringify(answer))
      return texts.every((text) => text === texts[0])
        ? first
        : yield* Effect.fail(`the nodes say ${texts.join(", ")}`)
    })
  )

const nodeOf = (members: ReadonlyArray<Member>, id: number): Effect.Effect<EmbeddedKafkaNode> => {
  const found = members.find(({ node }) => node.id === id)
  return found === undefined ? Effect.die(new Error(`no node ${id}`)) : Effect.succeed(found.node)
}

const partitionAt = (topic: string, partition: number) => (asked: ClusterView.Asked) =>
  Effect.flatMap(ClusterView.look(asked, topic), ({ partitions }) => {
    const found = partitions.find((one) => one.partition === partition)
    return found === undefined
      ? Effect.fail(`${topic} has no partition ${partition}`)
      : found.leader < 0
      ? Effect.fail(`${topic}-${partition} has no leader`)
      : Effect.succeed({ leader: found.leader, replicas: found.replicas })
  })

/** Who leads, follows and coordinates. */
export const roles = (members: ReadonlyArray<Member>) => {
  const replicasOf = (topic: string, partition: number) =>
    agreed(members, `looking up ${topic}-${partition}`, partitionAt(topic, partition))
  const coordinatorOf = (type: "group" | "transaction") => (key: string) =>
    agreed(
      members,
      `looking up the ${type} coordinator of ${JSON.stringify(key)}`,
      (asked) => ClusterView.coordinator(asked, type, key)
    ).pipe(Effect.flatMap((id) => nodeOf(members, id)))
  return {
    leaderOf: (topic: string, partition: number) =>
      Effect.flatMap(replicasOf(topic, partition), ({ leader }) => nodeOf(members, leader)),
    followersOf: (topic: string, partition: number) =>
      Effect.flatMap(
        replicasOf(topic, partition),
        ({ leader, replicas }) =>
          Effect.forEach(replicas.filter((id) => id !== leader), (id) => nodeOf(members, id))
      ),
    transactionCoordinatorOf: coordinatorOf("transaction"),
    groupCoordinatorOf: coordinatorOf("group")
  }
}

/**
 * Until each running node knows the leaders of a topic, and they take requests for it: the one that
 * made it is not the only.
 */
export const awaitTopic = (
  members: ReadonlyArray<Member>,
  topic: string
): Effect.Effect<void, Failed> =>
  agreed(
    members,
    `awaiting the topic ${topic} on all nodes`,
    (asked) =>
      Effect.gen(function*() {
        const view = yield* ClusterView.look(asked, topic)
        if (view.partitions.length === 0 || view.partitions.some(({ leader }) => leader < 0)) {
          return yield* Effect.fail(`node ${asked.id} knows no leader of each partition`)
        }
        yield* ClusterView.leads(asked, view)
        return view.partitions.length
      })
  ).pipe(Effect.asVoid)

/** Until every node runs, and says that every replica of every partition is in sync. */
export const awaitInSync = (members: ReadonlyArray<Member>): Effect.Effect<void, Failed> =>
  awaited(
    "awaiting that all replicas are in sync",
    inSyncLimit,
    Effect.forEach(members, ({ asked, node }) =>
      Effect.gen(function*() {
        const status = yield* node.status
        if (status !== "running") return yield* Effect.fail(`node ${node.id} is ${status}`)
        const why = ClusterView.incomplete(yield* ClusterView.look(asked, null), members.length)
        if (why !== null) return yield* Effect.fail(`node ${node.id} says: ${why}`)
      }), { discard: true })
  )

/** One node after the other, each only when nothing is missing any more. */
export const rollingRestart = (members: ReadonlyArray<Member>): Effect.Effect<void, Failed> =>
  Effect.andThen(
    awaitInSync(members),
    Effect.forEach(
      members,
      ({ node }) => Effect.andThen(Effect.andThen(node.stop, node.start), awaitInSync(members)),
      { discard: true }
    )
  )
