/**
 * The command line of `npm run prove`.
 */
import * as Scenarios from "@kafka-once/proof/Scenarios"
import { accessSync, constants } from "node:fs"
import { dirname, resolve } from "node:path"
import { parseArgs } from "node:util"

/** What is to be proved. */
export interface ProveArguments {
  readonly only: ReadonlyArray<string>
  readonly json: string | null
}

/** Either what to do, or what to print and the exit code to end with. */
export type Parsed =
  | { readonly _tag: "Run"; readonly arguments: ProveArguments }
  | { readonly _tag: "Exit"; readonly text: string; readonly code: number }

const ids = Scenarios.all.map(({ id }) => id)

/** What `--help` prints. */
export const usage = `npm run prove -- [options]

Runs the same programs on raw clients and on kafka-once, on a real broker behind a proxy that
loses what each scenario says, and tells from the log what became of their records. The broker is
started and removed again. Exit code 1: the library did not hold in one of them.

  --only A,B     the scenarios to run, of ${ids.join(", ")} (all)
  --json FILE    also writes [{scenario, driver, raw: {holds, what}, library: {holds, what}}]
  --help         prints this

${Scenarios.all.map(({ id, title }) => `  ${id.padEnd(5)}${title}`).join("\n")}`

const refuse = (problem: string): Parsed => ({
  _tag: "Exit",
  text: `${problem}\nTry npm run prove -- --help`,
  code: 2
})

/** Reads the command line. */
export const parse = (args: ReadonlyArray<string>): Parsed => {
  let values
  try {
    values = parseArgs({
      args: [...args],
      allowPositionals: false,
      options: {
        only: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean" }
      }
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
  if (values.help === true) return { _tag: "Exit", text: usage, code: 0 }
  const only = values.only?.split(",").map((name) => name.trim().toUpperCase()) ?? ids
  const unknown = only.find((name) => !ids.includes(name))
  if (unknown !== undefined) {
    return refuse(`--only takes names of ${ids.join(", ")}; "${unknown}" is none.`)
  }
  const json = values.json ?? null
  if (json !== null && !canBeWritten(json)) {
    return refuse(`--json takes the name of a file that can be written; "${json}" cannot.`)
  }
  return { _tag: "Run", arguments: { only, json } }
}

/** Asked before the broker is started, not after minutes of work. */
const canBeWritten = (file: string): boolean => {
  if (file === "") return false
  try {
    accessSync(dirname(resolve(file)), constants.W_OK)
    return true
  } catch {
    return false
  }
}
