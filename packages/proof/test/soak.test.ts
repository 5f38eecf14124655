import { assert, describe, it } from "@effect/vitest"
import { parse } from "../scripts/SoakArguments.ts"
import * as CatchUp from "../src/soak/catchUp.ts"
import * as FaultPlan from "../src/soak/faultPlan.ts"

const take = <A>(plan: Iterator<A>, count: number): ReadonlyArray<A> =>
  Array.from({ length: count }, () => plan.next().value)

const targets = { nodes: 3, programs: 2 }

describe("a soak's plan", () => {
  it("is the same for the same seed, and another for another", () => {
    for (const seed of [0, 1, 77, 2 ** 31 - 1]) {
      assert.deepStrictEqual(
        take(FaultPlan.outages(seed, targets), 50),
        take(FaultPlan.outages(seed, targets), 50)
      )
      assert.deepStrictEqual(
        take(FaultPlan.wireFaults(seed), 50),
        take(FaultPlan.wireFaults(seed), 50)
      )
      assert.notDeepEqual(
        take(FaultPlan.outages(seed, targets), 50),
        take(FaultPlan.outages(seed + 1, targets), 50)
      )
    }
  })

  it("has every kind of outage, on every node and program", () => {
    const outages = take(FaultPlan.outages(5, targets), 400).map(({ fault }) => fault)
    assert.strictEqual(new Set(outages.map(({ _tag }) => _tag)).size, 9)
    const nodes = outages.flatMap((one) => "node" in one ? [one.node] : [])
    const programs = outages.flatMap((one) => "program" in one ? [one.program] : [])
    assert.deepStrictEqual([...new Set(nodes)].toSorted(), [0, 1, 2])
    assert.deepStrictEqual([...new Set(programs)].toSorted(), [0, 1])
  })

  it("has every action on the wire, each on a request that it can meet", () => {
    const faults = take(FaultPlan.wireFaults(5), 400).map(({ fault }) => fault)
    assert.deepStrictEqual(
      [...new Set(faults.map(({ action }) => action.type))].toSorted(),
      ["delay", "dropRequest", "dropResponse", "error", "resetAfter", "resetBefore"]
    )
    assert.isTrue(faults.every(({ optional }) => optional === true))
    const met = faults.filter(({ match: { api } }) => api === "EndTxn" || api === "Produce")
    assert.isAbove(met.length, faults.length / 2)
  })

  it("meets the heartbeats of a group in the consumer protocol, and of no other", () => {
    const heartbeats = (...plan: Parameters<typeof FaultPlan.wireFaults>) =>
      take(FaultPlan.wireFaults(...plan), 400)
        .filter(({ fault }) => fault.match.api === "ConsumerGroupHeartbeat").length
    assert.isAbove(heartbeats(5, "consumer"), 10)
    assert.strictEqual(heartbeats(5, "classic"), 0)
  })
})

describe("the end of a pipeline's input", () => {
  const batch = (
    producerId: bigint,
    offset: bigint | null,
    control: "commit" | "abort" | null
  ) => ({
    producerId,
    isTransactional: producerId >= 0n,
    control,
    records: offset === null ? [] : [{ offset }]
  })
  const part = (partition: number, ...batches: ReadonlyArray<ReturnType<typeof batch>>) => ({
    partition,
    batches
  })

  it("is the last record that is visible, over the parts of a log", () => {
    const { add, last } = CatchUp.ends()
    add(part(0, batch(1n, 3n, null), batch(2n, 5n, null)))
    add(part(0, batch(2n, null, "abort"), batch(1n, null, "commit"), batch(2n, 9n, null)))
    add(part(0, batch(2n, null, "abort"), batch(1n, null, "commit")))
    add(part(1, batch(1n, 7n, null), batch(1n, null, "abort")))
    add(part(2, batch(-1n, 4n, null), batch(1n, 6n, null)))
    assert.deepStrictEqual([...last], [[0, 3n], [2, 4n]])
  })
})

describe("npm run soak", () => {
  it.each([
    [["--minutes", "0"], `"0" is none`],
    [["--minutes", "long"], `"long" is none`],
    [["--seed=-1"], `"-1" is none`],
    [["--seed", "1.5"], `"1.5" is none`],
    [["--driver", "librdkafka"], `"librdkafka" is none`],
    [["--group-protocol", "share"], `"share" is neither`],
    [["--group-protocol", "consumer", "--driver", "kafkajs"], "needs one of platformatic"],
    [["--rate", "fast"], `"fast" is none`],
    [["--json", "/no/such/folder/a.json"], "a file that can be written"],
    [["--fast"], "--fast"],
    [["5"], "5"]
  ])("refuses %j before anything starts", (args, named) => {
    const parsed = parse(args, 1)
    assert(parsed._tag === "Exit")
    assert.strictEqual(parsed.code, 2)
    assert.include(parsed.text, named)
    assert.include(parsed.text, "--help")
  })

  it("draws a seed where none is given, and takes fractions of a minute", () => {
    assert.deepStrictEqual(parse(["--minutes", "0.5", "--driver", "kafkajs"], 99), {
      _tag: "Run",
      arguments: {
        seconds: 30,
        seed: 99,
        drivers: ["kafkajs"],
        pipelineDrivers: ["kafkajs"],
        groupProtocol: "classic",
        rate: 0,
        json: null,
        keep: null
      }
    })
  })

  it("takes a driver for the pipeline that speaks the protocol of its group", () => {
    const parsed = parse(["--group-protocol", "consumer"], 1)
    assert(parsed._tag === "Run")
    assert.deepStrictEqual(parsed.arguments.drivers, ["kafkajs", "platformatic"])
    assert.deepStrictEqual(parsed.arguments.pipelineDrivers, ["platformatic"])
  })
})
