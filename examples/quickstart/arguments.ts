/**
 * The command line of the quickstart.
 */
import { parseArgs } from "node:util"
import { type DriverName, driverNames } from "./driver.ts"

/** What the quickstart is asked to do. */
export interface Arguments {
  readonly driver: DriverName
  readonly brokers: ReadonlyArray<string> | null
  readonly records: number
  readonly json: string | null
}

/** What `--help` prints. */
export const usage = `npm run quickstart -- [options]

Runs real flights through an exactly-once pipeline of two worker processes, while one of them is
killed and the network is cut; then compares what an independent reader sees with what a plain
program computes from the file.

  --records N        how many flights (20000); above that the file is repeated
  --driver NAME      the client underneath: ${driverNames.join(", ")} (${driverNames[0]})
  --brokers A,B      addresses of your own cluster, also from KAFKA_BROKERS; without it a broker is
                     started and removed again. On your own cluster the network is not cut, and
                     the topics are left behind.
  --json FILE        also writes the result as JSON to FILE
  --help             prints this
`

/** Either what to do, or what to print and the exit code to end with. */
export type Parsed =
  | { readonly _tag: "Run"; readonly arguments: Arguments }
  | { readonly _tag: "Exit"; readonly text: string; readonly code: number }

const refuse = (problem: string): Parsed => ({
  _tag: "Exit",
  text: `${problem}\nTry npm run quickstart -- --help`,
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
        records: { type: "string" },
        driver: { type: "string" },
        brokers: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean" }
      }
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
  if (values.help === true) return { _tag: "Exit", text: usage, code: 0 }
  const records = Number(values.records ?? 20_000)
  if (!Number.isSafeInteger(records) || records < 2 || records > 2_000_000) {
    return refuse(`--records takes a whole number from 2 to 2000000, not "${values.records}".`)
  }
  const driver = driverNames.find((name) => name === (values.driver ?? driverNames[0]))
  if (driver === undefined) {
    return refuse(`--driver takes one of ${driverNames.join(", ")}, not "${values.driver}".`)
  }
  const addresses = values.brokers ?? process.env["KAFKA_BROKERS"]
  const brokers = addresses?.split(",").map((address) => address.trim()) ?? null
  const bad = brokers?.find((address) => !/^.+:\d{1,5}$/.test(address))
  if (bad !== undefined) return refuse(`--brokers takes host:port,host:port; "${bad}" is none.`)
  if (values.json === "") return refuse("--json takes the name of a file.")
  return { _tag: "Run", arguments: { driver, brokers, records, json: values.json ?? null } }
}
