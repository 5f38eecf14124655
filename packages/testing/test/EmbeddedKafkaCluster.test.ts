import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as FaultProxy from "../src/FaultProxy.ts"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import * as ProtocolClient from "../src/ProtocolClient.ts"

const look = (address: string, topic: string) =>
  Effect.scoped(Effect.gen(function*() {
    const [host = "", port] = address.split(":")
    const client = yield* ProtocolClient.connect(host, Number(port))
    const { topics: [found] } = yield* client.request("Metadata", 12, { topics: [{ name: topic }] })
    return found
  }))

const settings = Effect.fnUntraced(function*(address: string, topic: string) {
  const [host = "", port] = address.split(":")
  const client = yield* ProtocolClient.connect(host, Number(port))
  const { results: [found] } = yield* client.request("DescribeConfigs", 4, {
    resources: [{ resourceType: 2, resourceName: topic, configurationKeys: null }]
  })
  return new Map(found?.configs.map(({ name, value }) => [name, value]))
}, Effect.scoped)

class Proxy extends Context.Service<Proxy, FaultProxy.FaultProxy>()("test/Proxy") {}

const portOf = (address: string): number => Number(address.split(":")[1])

/** A cluster with a proxy in front of all its nodes. */
const cluster = Layer.unwrap(Effect.gen(function*() {
  const proxy = yield* FaultProxy.make({ nodes: 3 })
  const proxiedPorts = proxy.addresses.map(portOf)
  const connected = Effect.gen(function*() {
    const { proxied } = yield* EmbeddedKafka.EmbeddedKafka
    for (const [position, { upstream }] of proxied.entries()) {
      yield* proxy.connectTo({ host: "127.0.0.1", port: portOf(upstream) }, position)
    }
    return proxy
  })
  return Layer.effect(Proxy, connected).pipe(
    Layer.provideMerge(EmbeddedKafka.layer({ nodes: 3, proxiedPorts }))
  )
}))

layer(cluster, { timeout: "3 minutes", excludeTestServices: true })(
  "a cluster of three nodes",
  (it) => {
    it.effect("a client that bootstraps at any port of the proxy is told its ports alone", () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy
        const { nodes } = yield* EmbeddedKafka.EmbeddedKafka
        assert.deepStrictEqual(
          nodes.map(({ proxied }) => proxied[0]?.advertised),
          [...proxy.addresses]
        )
        for (const address of proxy.addresses) {
          const client = yield* ProtocolClient.connect(proxy.host, portOf(address))
          const { brokers } = yield* client.request("Metadata", 12, { topics: [] })
          assert.sameMembers(brokers.map(({ host, port }) => `${host}:${port}`), [
            ...proxy.addresses
          ])
        }
      }).pipe(Effect.scoped))

    it.effect("a rule counts the frames of all nodes together", () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy
        const ask = (address: string) =>
          Effect.gen(function*() {
            const client = yield* ProtocolClient.connect(proxy.host, portOf(address))
            return yield* client.request("ListGroups", 4, {})
          }).pipe(Effect.scoped, Effect.exit, Effect.map(({ _tag }) => _tag))
        const third = FaultProxyRule.resetBefore({ api: "ListGroups", nth: 3 })
        const told = yield* proxy.withRule(third)(Effect.forEach(proxy.addresses, ask))
        assert.deepStrictEqual(told, ["Success", "Success", "Failure"])
      }))

    it.effect("topics, and Kafka's own, have three replicas, all in sync, two of them needed", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* kafka.createTopic("wide", { partitions: 6 })
        for (const topic of ["wide", "__transaction_state", "__consumer_offsets"]) {
          const found = yield* look(kafka.bootstrapServers[0] ?? "", topic)
          assert.isNotEmpty(found?.partitions, topic)
          for (const { isrNodes } of found?.partitions ?? []) assert.lengthOf(isrNodes, 3, topic)
          const configs = yield* settings(kafka.bootstrapServers[0] ?? "", topic)
          assert.strictEqual(configs.get("min.insync.replicas"), "2", topic)
        }
      }))

    it.effect("a created topic is known to every node when it is told to be there", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        for (let index = 0; index < 5; index++) {
          yield* kafka.createTopic(`known-${index}`, { partitions: 3 })
          for (const address of kafka.bootstrapServers) {
            const found = yield* look(address, `known-${index}`)
            assert.strictEqual(found?.errorCode, 0, address)
            assert.isTrue(found?.partitions.every(({ leaderId }) => leaderId > 0), address)
          }
        }
      }))

    it.effect("who leads, follows and coordinates is looked up by name", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* kafka.createTopic("led", { partitions: 3 })
        const found = yield* look(kafka.bootstrapServers[0] ?? "", "led")
        for (const { leaderId, partitionIndex } of found?.partitions ?? []) {
          const leader = yield* kafka.leaderOf("led", partitionIndex)
          assert.strictEqual(leader.id, leaderId)
          const followers = yield* kafka.followersOf("led", partitionIndex)
          assert.sameMembers([leader, ...followers].map(({ id }) => id), [1, 2, 3])
        }
        const ids = Array.from({ length: 20 }, (_, index) => `id-${index}`)
        const nodes = yield* Effect.forEach(ids, kafka.transactionCoordinatorOf)
        assert.isAbove(new Set(nodes.map(({ id }) => id)).size, 1)
      }))

    it.effect("without a node that was killed another leads, and it comes back in sync", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* kafka.createTopic("killed")
        const leader = yield* kafka.leaderOf("killed", 0)
        yield* leader.kill
        assert.strictEqual(yield* leader.status, "stopped")
        const next = yield* anotherLeader(kafka, "killed", leader.id)
        yield* leader.start
        yield* kafka.awaitInSync
        assert.strictEqual((yield* kafka.leaderOf("killed", 0)).id, next)
      }))
  }
)

const anotherLeader = (
  kafka: EmbeddedKafka.EmbeddedKafka["Service"],
  topic: string,
  notId: number
) =>
  kafka.leaderOf(topic, 0).pipe(
    Effect.map(({ id }) => id),
    Effect.repeat({ until: (id) => id !== notId, schedule: Schedule.spaced("50 millis") }),
    Effect.timeout("20 seconds")
  )

const processesIn = (directory: string): number => {
  try {
    return execFileSync("pgrep", ["-f", directory], { encoding: "utf8" }).trim().split("\n").length
  } catch {
    return 0
  }
}

/** A temporary directory of this test's own, in which nothing else can be left behind. */
const ownTemporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => {
    const saved = process.env["TMPDIR"]
    const directory = mkdtempSync(join(tmpdir(), "kafka-once-test-"))
    process.env["TMPDIR"] = directory
    return { saved, directory }
  }),
  ({ directory, saved }) =>
    Effect.sync(() => {
      if (saved === undefined) delete process.env["TMPDIR"]
      else process.env["TMPDIR"] = saved
      rmSync(directory, { recursive: true })
    })
)

const logOf = (directory: string): string => {
  const [name] = readdirSync(directory)
  const file = join(directory, name ?? "", "broker-1.log")
  return existsSync(file) ? readFileSync(file, "utf8") : ""
}

describe("a proxy in front of several nodes", () => {
  it.effect.each([0, 1.5, 101])(
    "%d nodes: it is not opened, and says why",
    (nodes) =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(Effect.scoped(FaultProxy.make({ nodes })))
        assert.include(message, `in front of ${nodes} nodes`)
      })
  )
})

describe("a cluster whose start is interrupted", () => {
  it.live.each(
    [
      ["has made a directory", (directory: string) => readdirSync(directory).length > 0],
      ["has one process", (directory: string) => processesIn(directory) > 0],
      ["has three processes", (directory: string) => processesIn(directory) === 3],
      ["elects a controller", (directory: string) => logOf(directory).includes("Elected")]
    ] as const
  )("when it %s leaves no process and no directory", ([, reached]) =>
    Effect.gen(function*() {
      const { directory } = yield* ownTemporaryDirectory
      const moment = Effect.sync(() => reached(directory)).pipe(
        Effect.repeat({ until: (now) => now, schedule: Schedule.spaced("5 millis") })
      )
      const first = yield* Effect.raceFirst(
        Effect.as(Effect.scoped(EmbeddedKafka.make({ nodes: 3 })), "started"),
        Effect.as(moment, "interrupted")
      )
      assert.strictEqual(first, "interrupted")
      assert.strictEqual(processesIn(directory), 0)
      assert.deepStrictEqual(readdirSync(directory), [])
    }))
})
