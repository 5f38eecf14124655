/**
 * Carries out the outages of a plan, each until it is healed, and tells the history of both.
 */
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import type { FaultProxy } from "@kafka-once/testing/FaultProxy"
import * as Effect from "effect/Effect"
import type { HistoryRecorder } from "../HistoryRecorder.ts"
import * as FaultPlan from "./faultPlan.ts"
import type { Programs } from "./programs.ts"

export interface Bench {
  readonly kafka: EmbeddedKafka["Service"]
  readonly proxy: FaultProxy
  readonly programs: Programs
  readonly recorder: HistoryRecorder
}

/** One outage from its beginning to its end. An interruption heals it first. */
export const carryOut = (
  bench: Bench,
  outage: FaultPlan.Outage
): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    const { begin, heal, target } = stepsOf(bench, outage)
    const told = {
      _tag: "nemesis",
      fault: FaultPlan.classOf(outage),
      what: outage._tag,
      target
    } as const
    const tell = (phase: "start" | "stop") =>
      Effect.sync(() => bench.recorder.tell({ ...told, phase }))
    return Effect.acquireUseRelease(
      Effect.andThen(tell("start"), begin),
      () => Effect.sleep(outage.millis),
      () => Effect.andThen(heal, tell("stop"))
    )
  })

const besideEachOtherMillis = 2_000

interface Steps {
  readonly begin: Effect.Effect<unknown, unknown>
  readonly heal: Effect.Effect<unknown, unknown>
  /** The process that is killed or frozen, or -1. */
  readonly target: number
}

const stepsOf = ({ kafka, programs, proxy }: Bench, outage: FaultPlan.Outage): Steps => {
  switch (outage._tag) {
    case "KillNode":
    case "StopNode":
    case "FreezeNode": {
      const node = kafka.nodes[outage.node]!
      const [begin, heal] = {
        KillNode: [node.kill, node.start],
        StopNode: [node.stop, node.start],
        FreezeNode: [node.freeze, node.thaw]
      }[outage._tag]!
      // Two of three nodes have to be in sync, so the next one waits for this one.
      return { begin: begin!, heal: Effect.andThen(heal!, kafka.awaitInSync), target: -1 }
    }
    case "KillProgram": {
      const { ended, process, signal } = programs.at(outage.program)
      return {
        begin: Effect.andThen(signal("SIGKILL"), ended),
        heal: programs.start(outage.program),
        target: process
      }
    }
    case "FreezeProgram": {
      const { process, signal } = programs.at(outage.program)
      return { begin: signal("SIGSTOP"), heal: signal("SIGCONT"), target: process }
    }
    case "ReplaceFrozenProgram": {
      const { ended, process, signal } = programs.at(outage.program)
      return {
        begin: Effect.andThen(signal("SIGSTOP"), programs.start(outage.program)),
        // Two with the same ids are there for a moment, as in a restart that went wrong.
        heal: signal("SIGCONT").pipe(
          Effect.andThen(Effect.sleep(besideEachOtherMillis)),
          Effect.andThen(signal("SIGTERM")),
          Effect.andThen(ended)
        ),
        target: process
      }
    }
    case "CutNetwork":
      return { begin: proxy.blackhole(outage.direction), heal: proxy.heal, target: -1 }
    case "RefuseConnections":
      return { begin: proxy.refuse, heal: proxy.heal, target: -1 }
    case "ResetConnections":
      return { begin: proxy.resetAll, heal: Effect.void, target: -1 }
  }
}
