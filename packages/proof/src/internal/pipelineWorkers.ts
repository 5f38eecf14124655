/** The worker processes of a pipeline: started, met at a step, and what they tell. */
import { assert } from "@effect/vitest"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Bench } from "../PipelineBench.ts"
import * as PipelineProgram from "../PipelineProgram.ts"
import * as ProxiedKafka from "../ProxiedKafka.ts"
import * as AppProcess from "./appProcess.ts"

/** Behind which the proxy keeps what is on its way. */
export const gate = "kept"

/** Where a worker is met: at a step of its own, or with a request of its on the way. */
export type At = PipelineProgram.Step | {
  readonly api: "Produce" | "TxnOffsetCommit" | "EndTxn"
}

export interface Place {
  readonly bench: Bench
  /** How many partitions the bench's topics have. */
  readonly partitions: number
  readonly program: string
  readonly groupFencing: boolean
  readonly groupProtocol: GroupProtocolName
}

/** A worker with its number in the history. */
export interface Worker extends AppProcess.AppProcess {
  readonly process: number
}

export const start = (
  { bench, groupProtocol, program }: Place,
  instanceId: string,
  stop: {
    readonly at?: PipelineProgram.Step
    readonly blockMillis?: number
    readonly isPatient?: boolean
  } = {}
) =>
  Effect.gen(function*() {
    const proxy = yield* ProxiedKafka.Proxy
    const { groupId, input, output, run } = bench
    const own = bench.next()
    const argument = yield* Schema.encodeEffect(Schema.fromJsonString(PipelineProgram.Plan))({
      addresses: proxy.addresses,
      groupId,
      groupProtocol,
      input,
      output,
      instanceId,
      run,
      ...own,
      stopAt: stop.at ?? null,
      blockMillis: stop.blockMillis ?? 0,
      isPatient: stop.isPatient ?? false
    })
    const worker: Worker = {
      ...yield* AppProcess.startWith(program, argument),
      process: own.process
    }
    return worker
  })

/** The partitions that lines with a word tell of. */
const partitionsOf = (lines: ReadonlyArray<string>, word: string): ReadonlyArray<number> => [
  ...new Set(
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => Number(line.split(" ")[1]))
  )
]

/** Waits until a worker has told what fits, which is no single word. */
const awaitLines = (
  { lines }: Worker,
  fits: (lines: ReadonlyArray<string>) => boolean,
  what: string
) =>
  lines.pipe(
    Effect.repeat({ until: fits, schedule: Schedule.spaced("10 millis"), times: 4_000 }),
    Effect.map((all) => assert.isTrue(fits(all), `${what} in:\n${all.join("\n")}`))
  )

export interface Met {
  readonly victim: Worker
  readonly other: Worker
  /** All that share the partitions with the victim, `other` among them. */
  readonly others: ReadonlyArray<Worker>
  /** The partitions that the victim has. */
  readonly partitions: ReadonlyArray<number>
  /** The number of the call in which it stopped, where it did within `process`. */
  readonly call: number | null
}

const awaitPlaced = (worker: Worker, count: number) =>
  awaitLines(
    worker,
    (lines) => partitionsOf(lines, "placed").length >= count,
    `${count} placed`
  )

/**
 * Starts workers that share the partitions, two or more of them, gives them records, and waits
 * until one of them, the victim, is where it was to be met; there it stands still, or has its event
 * loop blocked. The victim is the last to join, so that what it has is its share.
 */
export const meet = (
  place: Place,
  at: At,
  { blockMillis = 0, workers = 2 }: {
    readonly blockMillis?: number
    readonly workers?: number
  } = {}
) =>
  Effect.gen(function*() {
    const { bench } = place
    const other = yield* start(place, "other")
    yield* awaitPlaced(other, place.partitions)
    const others = [other]
    while (others.length < workers - 1) {
      const next = yield* start(place, `other-${others.length}`)
      yield* awaitPlaced(next, 1)
      others.push(next)
    }
    const isStep = typeof at === "string"
    const victim = yield* start(place, "victim", isStep ? { at, blockMillis } : {})
    yield* awaitPlaced(victim, at === "assigned" ? 1 : place.partitions / workers)
    const partitions = partitionsOf(yield* victim.lines, "placed")
    if (isStep) {
      yield* bench.write(perPartition)
      const [, call] = (yield* victim.told(at)).split(" ")
      const nth = call === undefined ? null : Number(call)
      return { victim, other, others, partitions, call: nth }
    }
    const proxy = yield* ProxiedKafka.Proxy
    const { groupId, input } = bench
    const transactionalId = place.groupFencing
      ? `kafka-once.${groupId}.victim.0`
      : `kafka-once.${groupId}.${input}.${partitions[0]}`
    const rule = yield* proxy.inject(
      FaultProxyRule.hold({ api: at.api, nth: 1, transactionalId }, gate)
    )
    yield* bench.write(perPartition)
    yield* Effect.raceFirst(rule.fired, Effect.andThen(victim.ended, victim.told(rule.name)))
    yield* victim.signal("SIGSTOP")
    return { victim, other, others, partitions, call: null }
  })

/** Three batches in each partition. */
const perPartition = 60

/** What tells a worker that it was out of the group. */
const losses: ReadonlySet<string> = new Set(["Lost", "Rejoining"])

/** Waits until a worker has learned that it was out of the group. */
export const awaitLoss = (worker: Worker) =>
  awaitLines(worker, (lines) => lines.some((line) => losses.has(line)), "a loss")

/** Waits until a worker that was out of the group begins to read a partition again. */
export const awaitPlacedAgain = (worker: Worker) =>
  awaitLines(
    worker,
    (lines) => {
      const loss = lines.findIndex((line) => losses.has(line))
      return loss >= 0 && partitionsOf(lines.slice(loss), "placed").length > 0
    },
    "a partition after the loss"
  )

export const release = Effect.flatMap(ProxiedKafka.Proxy, (proxy) => proxy.release(gate))

/** How long until one of the others has records of every partition that the victim had. */
export const takenOverWithin = (
  from: number,
  partitions: ReadonlyArray<number>,
  others: ReadonlyArray<Worker>
) =>
  Effect.gen(function*() {
    yield* Effect.forEach(
      partitions,
      (partition) => Effect.raceAllFirst(others.map(({ told }) => told(`process ${partition}`))),
      { concurrency: "unbounded" }
    )
    return (yield* Clock.currentTimeMillis) - from
  })

/** Asks workers to end, and holds them to it; one that is not up yet cannot be asked. */
export const end = (workers: ReadonlyArray<Worker>) =>
  Effect.forEach(workers, (worker) =>
    Effect.gen(function*() {
      yield* worker.told("started")
      yield* worker.signal("SIGTERM")
      assert.deepStrictEqual(yield* worker.ended, { code: 130, signal: null })
    }), { concurrency: "unbounded", discard: true })
