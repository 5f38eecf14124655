import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as BrokerDouble from "./support/BrokerDouble.ts"
import * as ConsumerDouble from "./support/ConsumerDouble.ts"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import * as Dice from "./support/Dice.ts"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as PipelineRig from "./support/PipelineRig.ts"

const partitions = 3

// What a cluster answers that passes; a code for good ends the pipeline, and tells nothing here.
const codes = [3, 6, 7, 14, 15, 16, 19, 51]

const faultOf = (
  dice: Dice.Dice,
  operation: DriverDouble.Operation,
  percent: number
): DriverDouble.Fault | null => {
  if (!dice.chance(operation === "commit" ? 2 * percent : percent)) return null
  if (operation === "close") return Fault.Delay({ by: "3 seconds" })
  if (operation === "heartbeat" && dice.chance(50)) {
    return Fault.Answer({ code: dice.pick([22, 25, 27]) })
  }
  return dice.pick<DriverDouble.Fault>([
    Fault.Answer({ code: dice.pick(codes) }),
    Fault.NoAnswer(),
    Fault.ActNoAnswer(),
    Fault.NotSent(),
    Fault.Hang(),
    Fault.ActHang(),
    // The port says that a seek which has failed does nothing later.
    operation === "seek" ? Fault.NoAnswer() : Fault.Late(),
    Fault.Delay({ by: `${dice.next(6_000)} millis` })
  ])
}

interface World {
  readonly dice: Dice.Dice
  readonly broker: BrokerDouble.BrokerDouble
  readonly capabilities: Partial<DriverDouble.Options["capabilities"] & object>
  readonly running: Array<Instance>
  readonly ends: Array<() => void>
  readonly exits: Map<string, number>
  isQuiet: boolean
  produced: number
}

interface Instance {
  readonly double: DriverDouble.DriverDouble
  readonly pipeline: Effect.Success<ReturnType<typeof PipelineRig.fork>>
}

const isPoison = (value: string | null) => value?.startsWith("poison") === true

/** Copies, except that it fails on poison always, and on anything sometimes, in several ways. */
const process = (world: World) => (batch: PipelineRig.Input) =>
  Effect.gen(function*() {
    const { dice } = world
    const kind = world.isQuiet ? 99 : dice.next(100)
    if (kind < 3) return yield* Effect.fail("before" as const)
    if (kind < 6) yield* Effect.sleep(`${dice.next(9_000)} millis`)
    if (batch.records.some(({ value }) => isPoison(value))) {
      return yield* Effect.fail("poison" as const)
    }
    yield* PipelineRig.copy(batch)
    if (kind > 95 && kind < 98) return yield* Effect.fail("after" as const)
  })

const start = (world: World) =>
  Effect.gen(function*() {
    const percent = world.dice.pick([0, 2, 5, 10])
    const double = yield* DriverDouble.make({
      broker: world.broker,
      capabilities: world.capabilities,
      chaos: (operation) => world.isQuiet ? null : faultOf(world.dice, operation, percent),
      fetchRecords: () => 1 + world.dice.next(8)
    })
    const pipeline = yield* PipelineRig.fork<"before" | "after" | "poison" | PipelineRig.Failure>(
      double,
      {
        process: process(world),
        deadLetterTopic: "dead",
        retry: Schedule.spaced("100 millis").pipe(Schedule.upTo({ times: 1 })),
        batch: { records: 1 + world.dice.next(12) },
        parallelTransactions: 1 + world.dice.next(2)
      }
    )
    world.running.push({ double, pipeline })
  })

/** Records, some of them poison, some of a transaction that is aborted. */
const produceSome = ({ broker, dice }: World, count: () => number) => {
  const partition = dice.next(partitions)
  const at = { topic: "input", partition }
  if (dice.chance(15)) {
    const identity = broker.initialize("elsewhere", 60_000, 0)
    broker.append("elsewhere", identity, { ...at, records: [ConsumerRig.encode("aborted")] }, 0, 0)
    broker.end("elsewhere", identity, "abort", 0)
    return
  }
  for (let left = 1 + dice.next(6); left > 0; left--) {
    const value = `${dice.chance(4) ? "poison" : "v"}${count()}`
    broker.produce(at, [ConsumerRig.encode(value)])
  }
}

const step = (world: World) =>
  Effect.gen(function*() {
    const { broker, dice, running } = world
    const group = broker.group("billing", ["input"])
    const kind = dice.next(100)
    if (kind < 45) produceSome(world, () => world.produced++)
    else if (kind < 52) group.rebalance()
    else if (kind < 58 && running.length < 3) yield* start(world)
    else if (kind < 63 && running.length > 1) {
      const [instance] = running.splice(dice.next(running.length), 1)
      yield* stop(world, instance!)
    } else if (kind < 68) {
      // A zombie: the group goes on without a member, which does not know it yet.
      const members = group.members()
      if (members.length === 0) return
      const memberId = dice.pick(members)
      const tell = group.kick(memberId)
      world.ends.push(() => {
        tell()
        for (const { double } of running) {
          for (const session of double.consumers) {
            if (session.memberId !== memberId || !session.isOpen) continue
            session.die(ConsumerDouble.failure("Heartbeat", 25))
          }
        }
      })
    } else if (kind < 75) world.ends.splice(0).forEach((end) => end())
    else if (kind < 80 && running.length > 0) yield* dice.pick(running).double.releaseLate
    else yield* ConsumerRig.pass(dice.next(4_000))
  })

const stop = (world: World, { pipeline }: Instance) =>
  Effect.gen(function*() {
    yield* pipeline.stop()
    note(world, PipelineRig.exitOf(pipeline))
  })

const note = (world: World, exit: Exit.Exit<never, unknown>): void => {
  assert(Exit.isFailure(exit))
  assert.isFalse(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
  const name = Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : Cause.pretty(exit.cause)
  world.exits.set(name, (world.exits.get(name) ?? 0) + 1)
}

/** Lets everything heal, and waits until all of the input is committed. */
const heal = (world: World) =>
  Effect.gen(function*() {
    world.isQuiet = true
    for (let round = 0; round < 40; round++) {
      for (const { double } of world.running) yield* double.releaseLate
      world.ends.splice(0).forEach((end) => end())
      for (const instance of world.running.splice(0)) {
        const ended = instance.pipeline.fiber.pollUnsafe()
        if (ended === undefined) world.running.push(instance)
        else note(world, ended)
      }
      if (world.running.length === 0) yield* start(world)
      yield* ConsumerRig.pass(5_000, 1_000)
      world.broker.expire(yield* Clock.currentTimeMillis)
      if (isDone(world)) break
    }
    // What was left open by a pipeline that could not reach the cluster at its end, the broker
    // ends.
    yield* ConsumerRig.pass(20_000, 5_000)
    world.broker.expire(yield* Clock.currentTimeMillis)
  })

const inputs = ({ broker }: World) => broker.visible().filter(({ topic }) => topic === "input")

const committedOf = ({ broker }: World, partition: number) =>
  broker.committedOffset("billing", { topic: "input", partition }).offset ?? 0n

const isDone = (world: World): boolean =>
  inputs(world).every(({ offset, partition }) => offset < committedOf(world, partition))

type Output = ReturnType<BrokerDouble.BrokerDouble["visible"]>[number]

const header = ({ record }: Output, name: string) =>
  DriverDouble.text(
    record.headers.find(([key]) => key === `kafka-once.dead-letter.${name}`)![1]
  )

/** Where a record of the output or the dead letters came from. */
const originOf = (output: Output) =>
  output.topic === "output"
    ? DriverDouble.text(output.record.value).split(":").slice(0, 2).join(":")
    : `${header(output, "partition")}:${header(output, "offset")}`

const check = (world: World): void => {
  const outputs = world.broker.visible().filter(({ topic }) => topic !== "input")
  const origins = outputs.map(originOf)
  const expected = inputs(world).map(({ offset, partition }) => `${partition}:${offset}`)
  assert.strictEqual(new Set(origins).size, origins.length, "E1: processed twice")
  // E2: nothing skipped. E3: nothing ahead of the offsets, since all of the input is committed.
  assert.isTrue(isDone(world), "not all of the input is committed")
  assert.sameMembers(origins, expected)
  assert.deepStrictEqual(world.broker.regressions(), [], "E4: offsets moved back")
  assert.isFalse(outputs.some(({ record }) => DriverDouble.text(record.value).includes("aborted")))
  const poisoned = inputs(world).filter(({ record }) => isPoison(DriverDouble.text(record.value)))
  const letters = outputs.filter(({ topic }) => topic === "dead")
  // Nothing dies for a failure of the cluster's, or for a rebalance.
  for (const letter of letters) {
    assert.include(["poison", "before", "after"], header(letter, "message"))
  }
  assert.includeMembers(
    letters.map(originOf),
    poisoned.map(({ offset, partition }) => `${partition}:${offset}`)
  )
  for (let partition = 0; partition < partitions; partition++) {
    const offsets = outputs.filter((output) =>
      output.topic === "output" && output.partition === partition
    ).map((output) => Number(originOf(output).split(":")[1]))
    assert.deepStrictEqual(offsets, offsets.toSorted((a, b) => a - b), "out of order")
  }
}

const runSeed = (seed: number) =>
  Effect.gen(function*() {
    const dice = Dice.make(seed)
    const isFencing = dice.chance(50)
    const world: World = {
      dice,
      broker: BrokerDouble.make({ input: partitions, output: partitions, dead: 1 }),
      capabilities: {
        groupFencing: isFencing,
        stableOffsets: isFencing,
        revocationHold: dice.chance(50),
        commitRetry: dice.chance(50)
      },
      running: [],
      ends: [],
      exits: new Map(),
      isQuiet: true,
      produced: 0
    }
    yield* start(world)
    world.isQuiet = false
    for (let left = 30; left > 0; left--) yield* step(world)
    yield* heal(world)
    check(world)
    for (const instance of world.running) yield* stop(world, instance)
    return { exits: world.exits, records: inputs(world).length }
  }).pipe(Effect.scoped)

const seeds = Dice.seeds(100)

describe("random failures, rebalances, zombies and faults of the network", () => {
  for (let from = 0; from < seeds.length; from += 50) {
    const some = seeds.slice(from, from + 50)
    it.effect(
      `E1 to E4: seeds ${some[0]} to ${some.at(-1)} (replay: KAFKA_ONCE_SEED)`,
      () =>
        Effect.gen(function*() {
          let records = 0
          for (const seed of some) {
            const exit = yield* Effect.exit(runSeed(seed))
            assert(
              Exit.isSuccess(exit),
              `seed ${seed}: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`
            )
            records += exit.value.records
          }
          assert.isAbove(records, some.length)
        }),
      60_000
    )
  }
})
