/**
 * `npm run soak`: transactions under faults of all kinds, and what became of each.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HistoryChecker from "@kafka-once/proof/HistoryChecker"
import * as Soak from "@kafka-once/proof/Soak"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { randomInt } from "node:crypto"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parse, type SoakArguments } from "./SoakArguments.ts"

/** What is to be reached, besides no anomaly. */
const unknownRateMax = 0.01

const program = fileURLToPath(new URL("soakProgram.ts", import.meta.url))

const directoryOf = (keep: string | null) =>
  keep === null
    ? Effect.acquireRelease(
      Effect.tryPromise(() => mkdtemp(join(tmpdir(), "kafka-once-soak-"))),
      (directory) =>
        Effect.ignore(
          Effect.tryPromise(() => rm(directory, { recursive: true, force: true })),
          { log: "Warn" }
        )
    )
    : Effect.as(Effect.tryPromise(() => mkdir(resolve(keep), { recursive: true })), resolve(keep))

const soak = ({ json, keep, rate, ...asked }: SoakArguments) => {
  const { drivers, groupProtocol, seconds, seed } = asked
  return Effect.gen(function*() {
    const directory = yield* directoryOf(keep)
    yield* Console.log(
      `seed ${seed}: ${seconds} s over ${drivers.join(" and ")}, the pipeline in a ` +
        `${groupProtocol} group; again with --seed ${seed}`
    )
    const startedAt = performance.now()
    const { figures, report } = yield* Soak.run({
      ...asked,
      program,
      directory,
      onProgress: (line) => {
        const at = ((performance.now() - startedAt) / 1_000).toFixed(1)
        process.stdout.write(`${at.padStart(7)}  ${line}\n`)
      }
    })
    const missed = [
      ...report.clean ? [] : ["there are anomalies"],
      ...figures.recordsPerSecond >= rate
        ? []
        : [`${figures.recordsPerSecond} records/s, ${rate} are to be reached`],
      ...figures.unknownRate < unknownRateMax ? [] : [
        `${(figures.unknownRate * 100).toFixed(2)}% of the outcomes were unknown at first`
      ],
      // With no anomaly every copy has an input of its own, so that as many are all of them.
      ...report.records.visible === 2 * report.records.copied ? [] : [
        `${report.records.copied} of ${report.records.visible} visible records are copies, not half`
      ],
      ...figures.unresolved === 0 ? [] : [`${figures.unresolved} outcomes are still unknown`]
    ]
    yield* Console.log(
      `\n${HistoryChecker.render(report)}\n${JSON.stringify(figures, null, 2)}\n` +
        (missed.length === 0 ? `holds, seed ${seed}` : `seed ${seed}: ${missed.join("; ")}`)
    )
    if (json !== null) {
      const { findings: _, ...rest } = report
      const holds = missed.length === 0
      const result = { seed, drivers, groupProtocol, holds, missed, ...figures, report: rest }
      yield* Effect.tryPromise(() => writeFile(json, `${JSON.stringify(result, null, 2)}\n`))
    }
    return missed.length === 0 ? 0 : 1
  }).pipe(
    Effect.scoped,
    Effect.catchCause((cause) =>
      Cause.hasInterrupts(cause)
        ? Effect.failCause(cause)
        : Effect.as(Console.error(`seed ${seed}: ${Cause.pretty(cause)}`), 1)
    ),
    Effect.map((code) => {
      process.exitCode = code
    })
  )
}

const parsed = parse(process.argv.slice(2), randomInt(2 ** 31 - 1))
if (parsed._tag === "Exit") {
  const stream = parsed.code === 0 ? process.stdout : process.stderr
  stream.write(`${parsed.text}\n`)
  process.exitCode = parsed.code
} else {
  NodeRuntime.runMain(soak(parsed.arguments))
}
