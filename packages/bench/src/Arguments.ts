/**
 * The command line of the benchmark.
 */
import { parseArgs } from "node:util"

/** The names that `--work` takes. */
export const workNames = [
  "single",
  "lanes",
  "batch",
  "ids",
  "volume",
  "pipeline",
  "memory",
  "latency",
  "proxy",
  "core"
] as const

/** What is measured: one piece of work, done by several contenders. */
export type WorkName = (typeof workNames)[number]

/** How much is measured: `short` is for a check, `long` adds the full course of memory. */
export type Length = "short" | "default" | "long"

/** What the benchmark is asked to do. */
export interface Arguments {
  readonly works: ReadonlyArray<WorkName>
  readonly length: Length
  readonly json: string | null
  readonly chart: string | null
}

/** What `--help` prints. */
export const usage = `npm run bench -- [options]

Measures kafka-once beside the raw clients, Kafka's Java client and Kafka Streams on a real broker,
which is started and removed again, and its core alone over a driver that does nothing. Contenders
take turns, so that a slow moment of the machine meets all of them. Figures are no tests: a goal
that is not met changes no exit code.

  --work A,B     what to measure, of ${workNames.join(", ")} (all)
                   single  transactions of one record, back to back
                   lanes   the same over two transactional ids in turn
                   batch   transactions of 500 records, in one call and in 500 concurrent ones
                   ids     64 transactional ids at once in one process, and 1,000
                   volume  transactions of 1,000 records of 100 bytes
                   pipeline  consume, transform, produce, beside raw clients, Java and Streams
                   memory  what a pipeline holds over 1,000,000 records
                   latency  from the send of an input to its output's reader, at 100 a second
                   proxy   what the fault proxy costs while no rule matches
                   core    no broker: transactions a second, the cost of each part, and memory
  --short        the shortest form of each, as a check
  --long         memory over 1,000,000 transactions in place of 100,000, and over 10,000,000
                 records of a pipeline
  --json FILE    also writes the figures to FILE, as an array of
                 {work, contender, unit, median, min, max, runs}
  --chart FILE   also draws what was done a second to FILE, as SVG
  --help         prints this
`

/** Either what to do, or what to print and the exit code to end with. */
export type Parsed =
  | { readonly _tag: "Run"; readonly arguments: Arguments }
  | { readonly _tag: "Exit"; readonly text: string; readonly code: number }

const refuse = (problem: string): Parsed => ({
  _tag: "Exit",
  text: `${problem}\nTry npm run bench -- --help`,
  code: 2
})

const isWorkName = (name: string): name is WorkName => workNames.some((known) => known === name)

/** Reads the command line. */
export const parse = (args: ReadonlyArray<string>): Parsed => {
  let values
  try {
    values = parseArgs({
      args: [...args],
      allowPositionals: false,
      options: {
        work: { type: "string" },
        short: { type: "boolean" },
        long: { type: "boolean" },
        json: { type: "string" },
        chart: { type: "string" },
        help: { type: "boolean" }
      }
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
  if (values.help === true) return { _tag: "Exit", text: usage, code: 0 }
  if (values.short === true && values.long === true) {
    return refuse("--short and --long exclude each other.")
  }
  for (const flag of ["json", "chart"] as const) {
    if (values[flag] === "") return refuse(`--${flag} takes the name of a file.`)
  }
  const names = values.work?.split(",").map((name) => name.trim()) ?? workNames
  const works = names.filter(isWorkName)
  const unknown = names.find((name) => !isWorkName(name))
  if (unknown !== undefined) {
    return refuse(`--work takes names of ${workNames.join(", ")}; "${unknown}" is none.`)
  }
  return {
    _tag: "Run",
    arguments: {
      works,
      length: values.short === true ? "short" : values.long === true ? "long" : "default",
      json: values.json ?? null,
      chart: values.chart ?? null
    }
  }
}
