/**
 * The command line of `npm run soak`.
 */
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import { accessSync, constants } from "node:fs"
import { dirname, resolve } from "node:path"
import { parseArgs } from "node:util"

/** What is to be soaked. */
export interface SoakArguments {
  readonly seconds: number
  readonly seed: number
  readonly drivers: ReadonlyArray<string>
  /** Those of them whose members speak the protocol of the pipeline's group. */
  readonly pipelineDrivers: ReadonlyArray<string>
  readonly groupProtocol: GroupProtocolName
  /** Visible records of the writers a second that are to be reached. */
  readonly rate: number
  readonly json: string | null
  readonly keep: string | null
}

/** Either what to do, or what to print and the exit code to end with. */
export type Parsed =
  | { readonly _tag: "Run"; readonly arguments: SoakArguments }
  | { readonly _tag: "Exit"; readonly text: string; readonly code: number }

const drivers = ["kafkajs", "platformatic"]

const speakers: Readonly<Record<GroupProtocolName, ReadonlyArray<string>>> = {
  classic: drivers,
  consumer: ["platformatic"]
}

/** What `--help` prints. */
export const usage = `npm run soak -- [options]

Runs programs that write transactions to a cluster of three nodes, and a pipeline that copies what
they commit, while requests and answers are lost, networks are cut, and nodes and programs are
killed and frozen; then holds what the programs were told against what is in the logs, and the
copies against their inputs. Exit code 1: an anomaly, or less than was to be reached.

  --minutes N    how long, 5 by default; fractions are taken
  --seed S       draws faults and transactions; random by default, and printed
  --driver A,B   which drivers, of ${drivers.join(", ")} (both)
  --group-protocol P
                 that of the pipeline's group, classic (the default) or consumer (KIP-848), in which
                 the pipeline runs over ${speakers.consumer.join(", ")}
  --rate N       fails below so many visible records of the writers a second; none by default
  --json FILE    also writes the figures
  --keep DIR     keeps the histories in this directory
  --help         prints this`

const refuse = (problem: string): Parsed => ({
  _tag: "Exit",
  text: `${problem}\nTry npm run soak -- --help`,
  code: 2
})

const seedMax = 2 ** 31 - 1

/** Reads the command line. */
export const parse = (args: ReadonlyArray<string>, randomSeed: number): Parsed => {
  let values
  try {
    values = parseArgs({
      args: [...args],
      allowPositionals: false,
      options: {
        minutes: { type: "string" },
        seed: { type: "string" },
        driver: { type: "string" },
        "group-protocol": { type: "string" },
        rate: { type: "string" },
        json: { type: "string" },
        keep: { type: "string" },
        help: { type: "boolean" }
      }
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
  if (values.help === true) return { _tag: "Exit", text: usage, code: 0 }
  const minutes = values.minutes === undefined ? 5 : Number(values.minutes)
  if (!(minutes > 0 && minutes <= 1_440)) {
    return refuse(`--minutes takes a number up to 1440; "${values.minutes}" is none.`)
  }
  const seed = values.seed === undefined ? randomSeed : Number(values.seed)
  if (!Number.isInteger(seed) || seed < 0 || seed > seedMax) {
    return refuse(`--seed takes a whole number from 0 to ${seedMax}; "${values.seed}" is none.`)
  }
  const chosen = values.driver?.split(",").map((name) => name.trim()) ?? drivers
  const unknown = chosen.find((name) => !drivers.includes(name))
  if (unknown !== undefined) {
    return refuse(`--driver takes names of ${drivers.join(", ")}; "${unknown}" is none.`)
  }
  const groupProtocol = values["group-protocol"] ?? "classic"
  if (groupProtocol !== "classic" && groupProtocol !== "consumer") {
    return refuse(`--group-protocol takes classic or consumer; "${groupProtocol}" is neither.`)
  }
  const pipelineDrivers = chosen.filter((name) => speakers[groupProtocol].includes(name))
  if (pipelineDrivers.length === 0) {
    return refuse(
      `--group-protocol ${groupProtocol} needs one of ${speakers[groupProtocol].join(", ")} ` +
        `among the drivers; --driver ${values.driver} has none.`
    )
  }
  const rate = Number(values.rate ?? 0)
  if (!(rate >= 0 && rate < Infinity)) {
    return refuse(`--rate takes a number of records a second; "${values.rate}" is none.`)
  }
  const json = values.json ?? null
  if (json !== null && !canBeWritten(json)) {
    return refuse(`--json takes the name of a file that can be written; "${json}" cannot.`)
  }
  const keep = values.keep ?? null
  return {
    _tag: "Run",
    arguments: {
      seconds: minutes * 60,
      seed,
      drivers: chosen,
      pipelineDrivers,
      groupProtocol,
      rate,
      json,
      keep
    }
  }
}

/** Asked before the cluster is started, not after an hour of work. */
const canBeWritten = (file: string): boolean => {
  if (file === "") return false
  try {
    accessSync(dirname(resolve(file)), constants.W_OK)
    return true
  } catch {
    return false
  }
}
