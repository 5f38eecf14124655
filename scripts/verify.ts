/**
 * `npm run verify`: everything that must hold before a change lands, in parts with a time budget
 * each. `--full` adds what is too slow for every change.
 *
 * The last line is always `N passed, N failed, N skipped`, summed over the test reports. A step
 * that fails without a failed test of its own, the type check for example, counts as one failure,
 * so that the line never says `0 failed` of a run that failed.
 *
 * To add a part, add a row to `parts`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs"
import { join, relative } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

interface Part {
  readonly name: string
  readonly budgetSeconds: number
  readonly steps: ReadonlyArray<Step>
  /** Run by `--full` only. */
  readonly full?: boolean
}

interface Step {
  readonly name: string
  readonly command: ReadonlyArray<string>
  /** The command is vitest: its report is counted. */
  readonly tests?: boolean
  readonly env?: Readonly<Record<string, string>>
  /** The step stands for something that comes later; it is left out until this file exists. */
  readonly needs?: string
}

const vitest = (name: string, ...args: ReadonlyArray<string>): Step => ({
  name,
  command: ["vitest", "run", "--config", "vitest.workspace.ts", ...args],
  tests: true,
  env: { KAFKA_ONCE_SUITES: "short" }
})

const source = (file: string, ...args: ReadonlyArray<string>): ReadonlyArray<string> => [
  "node",
  "--conditions=@kafka-once/source",
  file,
  ...args
]

// The budgets are what a machine with two cores may take, with everything installed. Without those
// of `--full` they are ten minutes together.
const parts: ReadonlyArray<Part> = [
  {
    name: "static",
    budgetSeconds: 60,
    steps: [
      { name: "types", command: ["tsc", "-b"] },
      { name: "lint", command: ["oxlint", "--deny-warnings"] },
      { name: "format", command: ["dprint", "check"] },
      {
        name: "Effect diagnostics",
        command: [
          "effect-tsgo",
          "diagnostics",
          "--project",
          "tsconfig.json",
          "--strict",
          "--severity",
          "error,warning",
          "--format",
          "text"
        ]
      },
      {
        name: "generated documents",
        command: source("scripts/generateErrors.ts", "--check"),
        needs: "scripts/generateErrors.ts"
      },
      {
        name: "the wire matrix as a document",
        command: source("scripts/generateWireMatrix.ts", "--check")
      },
      vitest(
        "arrows, style and guarantees",
        "--project",
        "scripts",
        "test/arrows",
        "test/tidy",
        "test/guarantees",
        "test/design",
        "test/longSuites"
      )
    ]
  },
  {
    name: "tests",
    budgetSeconds: 120,
    steps: [
      vitest("unit tests", "--project", "core", "--project", "bench"),
      vitest("the tools for tests", "--project", "testing")
    ]
  },
  {
    name: "drivers",
    budgetSeconds: 230,
    steps: [
      vitest(
        "contract, faults and bad input",
        "--project",
        "kafkajs",
        "--project",
        "platformatic",
        "--project",
        "proof"
      )
    ]
  },
  {
    name: "short soak",
    budgetSeconds: 55,
    steps: [{
      name: "20 seconds of faults on three nodes",
      command: source("packages/proof/scripts/soak.ts", "--minutes", "0.33", "--seed", "2")
    }]
  },
  {
    name: "examples",
    budgetSeconds: 95,
    steps: [
      vitest("examples", "--project", "examples"),
      vitest("snippets", "--project", "scripts", "test/snippets")
    ]
  },
  {
    name: "pack",
    budgetSeconds: 40,
    steps: [vitest("packages as published", "--project", "scripts", "test/pack")]
  },
  {
    name: "long suites",
    budgetSeconds: 360,
    full: true,
    steps: [{ ...vitest("what scripts/longSuites.ts names"), env: { KAFKA_ONCE_SUITES: "long" } }]
  },
  {
    name: "slow tests",
    budgetSeconds: 2700,
    full: true,
    steps: [{ ...vitest("slow tests", "--passWithNoTests"), env: { KAFKA_ONCE_SLOW: "1" } }]
  },
  {
    name: "prove",
    budgetSeconds: 180,
    full: true,
    steps: [{
      name: "raw clients beside the library",
      command: source("packages/proof/scripts/prove.ts")
    }]
  },
  {
    name: "soak",
    budgetSeconds: 480,
    full: true,
    steps: [{
      name: "5 minutes of faults on three nodes",
      command: source("packages/proof/scripts/soak.ts", "--minutes", "5", "--seed", "7")
    }]
  },
  {
    name: "bench",
    budgetSeconds: 420,
    full: true,
    steps: [{
      name: "shortest benchmark",
      command: source("packages/bench/src/main.ts", "--short"),
      needs: "packages/bench/src/main.ts"
    }]
  }
]

// The budgets are those of a quiet machine. A part over its budget is told; one that takes twice
// its budget fails, but runs on, so that one sees by how much. What hangs is ended.
const failAfterBudgets = 2
const killAfterBudgets = 3
const graceMillis = 15_000
const leftBehindMillis = 2000
const tailLines = 60

const root = fileURLToPath(new URL("..", import.meta.url))
const reports = join(root, ".reports")
// The output goes to files, where colours are noise. Node warns when it finds both variables.
const environment = { ...process.env, FORCE_COLOR: undefined, NO_COLOR: "1" }
const total = { passed: 0, failed: 0, skipped: 0 }

const finish = (code: number): never => {
  const { passed, failed, skipped } = total
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  process.exit(code)
}

const usage = "Usage: npm run verify [-- --full] [--verbose] [--only PART]..."

const readFlags = () => {
  try {
    const { values } = parseArgs({
      options: {
        full: { type: "boolean", default: false },
        verbose: { type: "boolean", default: false },
        only: { type: "string", multiple: true, default: [] },
        help: { type: "boolean", default: false }
      }
    })
    const names = parts.map(({ name }) => name)
    const unknown = values.only.find((name) => !names.includes(name))
    if (unknown !== undefined) {
      throw new Error(`Unknown part "${unknown}". The parts are: ${names.join(", ")}.`)
    }
    return values
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
    process.exit(2)
  }
}

/** What has to be installed on this machine before anything can be verified. */
const missingTools = (): ReadonlyArray<string> => {
  const java = spawnSync("java", ["-version"], { encoding: "utf8" })
  const version = Number(/version "(?:1\.)?(\d+)/.exec(`${java.stderr}${java.stdout}`)?.[1] ?? 0)
  const maven = spawnSync("mvn", ["--version"], { encoding: "utf8" })
  const missing: Array<string> = []
  if (version < 17) {
    const found = version === 0
      ? "there is no `java` on the PATH"
      : `\`java\` is version ${version}`
    missing.push(
      `Java 17 or newer is needed to run a Kafka broker, and ${found}. ` +
        "Install it: apt-get install openjdk-17-jdk-headless, or brew install openjdk@17."
    )
  }
  if (maven.status !== 0) {
    missing.push(
      "Maven is needed to fetch the Kafka broker, and `mvn --version` does not run. " +
        "Install it: apt-get install maven, or brew install maven."
    )
  }
  return missing
}

// Each step runs in a process group of its own, so that what it has started ends with it.
const signalGroup = (child: ChildProcess, signal: NodeJS.Signals | 0): boolean => {
  try {
    return child.pid !== undefined && process.kill(-child.pid, signal)
  } catch {
    // Nobody is left in the group.
    return false
  }
}

/** Asks a step to end, and ends it where it does not within the grace. */
const endGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
  signalGroup(child, signal)
  const force = setTimeout(() => signalGroup(child, "SIGKILL"), graceMillis)
  child.once("exit", () => clearTimeout(force))
}

/** Whether a step that has ended left processes behind; they are ended. */
const leftBehind = async (child: ChildProcess): Promise<boolean> => {
  // Helpers of a tool that has just ended need a moment to notice.
  for (let waited = 0; waited < leftBehindMillis; waited += 100) {
    if (!signalGroup(child, 0)) return false
    await sleep(100)
  }
  return signalGroup(child, "SIGKILL")
}

let running: ChildProcess | undefined

let stopping = false
const stop = (signal: NodeJS.Signals, code: number) => (): void => {
  // The terminal, npm and run.mjs may each deliver the same Ctrl-C.
  if (stopping) return
  stopping = true
  console.log("stopped")
  const child = running
  if (child === undefined) return finish(code)
  child.once("exit", () => {
    signalGroup(child, "SIGKILL")
    finish(code)
  })
  endGroup(child, signal)
}
process.on("SIGINT", stop("SIGINT", 130))
process.on("SIGTERM", stop("SIGTERM", 143))
process.on("SIGHUP", stop("SIGHUP", 129))

/** Runs a command with its output in a file, and answers why it failed, or `null` if it did not. */
const execute = async (
  step: Step,
  args: ReadonlyArray<string>,
  log: string,
  limitMillis: number
): Promise<string | null> => {
  const [file = "", ...rest] = [...step.command, ...args]
  const output = openSync(log, "w")
  const child = spawn(file, rest, {
    cwd: root,
    detached: true,
    env: { ...environment, ...step.env },
    stdio: ["ignore", output, output]
  })
  closeSync(output)
  running = child
  let hung = false
  const deadline = setTimeout(() => {
    hung = true
    endGroup(child, "SIGTERM")
  }, limitMillis)
  const why = await new Promise<string | null>((resolve) => {
    child.on("error", (error) => resolve(`it cannot be started: ${error.message}`))
    child.on("exit", (code, signal) => resolve(code === 0 ? null : `exit code ${code ?? signal}`))
  })
  clearTimeout(deadline)
  // Whoever stops the run ends the process, so that the parts that follow must not start.
  if (stopping) return new Promise(() => {})
  running = undefined
  if (await leftBehind(child)) return why ?? "it left processes running, which were ended"
  return hung ? "it hung, and was ended" : why
}

interface TestFile {
  readonly name: string
  readonly status: string
  readonly message?: string
  readonly assertionResults: ReadonlyArray<{
    readonly fullName: string
    readonly status: string
    readonly failureMessages?: ReadonlyArray<string>
  }>
}

/** Adds a vitest report to the totals, and answers one line per failure and per skipped test. */
const count = (report: string): ReadonlyArray<string> => {
  if (!existsSync(report)) return []
  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as {
    readonly testResults: ReadonlyArray<TestFile>
  }
  const problems: Array<string> = []
  for (const file of testResults) {
    const name = relative(root, file.name)
    for (const test of file.assertionResults) {
      const firstLine = test.failureMessages?.[0]?.split("\n")[0] ?? ""
      if (test.status === "passed") total.passed++
      else if (test.status === "failed") {
        total.failed++
        problems.push(`failed: ${name} > ${test.fullName}\n          ${firstLine}`)
      } else {
        total.skipped++
        problems.push(`skipped: ${name} > ${test.fullName}`)
      }
    }
    // A file that cannot be loaded, or whose set-up fails, has no failed test.
    if (file.status === "failed" && file.assertionResults.every((t) => t.status !== "failed")) {
      total.failed++
      problems.push(`failed: ${name}\n          ${file.message?.split("\n")[0] ?? ""}`)
    }
  }
  return problems
}

interface Result {
  readonly step: string
  /** Why the step failed, or `null` if it did not. */
  readonly why: string | null
  readonly problems: ReadonlyArray<string>
  readonly log: string
}

const runStep = async (part: Part, step: Step, limitMillis: number): Promise<Result> => {
  const slug = `${part.name} ${step.name}`.toLowerCase().replaceAll(/[^a-z]+/g, "-")
  const log = join(reports, `${slug}.log`)
  const report = join(reports, `${slug}.json`)
  rmSync(report, { force: true })
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const ended = await execute(step, step.tests === true ? reporters : [], log, limitMillis)
  const failedBefore = total.failed
  const problems = step.tests === true ? count(report) : []
  if (ended !== null && total.failed === failedBefore) total.failed++
  const skipped = problems.some((problem) => problem.startsWith("skipped"))
  const why = ended ?? (skipped ? "a skipped test hides what it would have shown" : null)
  return { step: step.name, why, problems, log }
}

const show = ({ step, why, problems, log }: Result, lines: number): void => {
  const output = readFileSync(log, "utf8").trimEnd().split("\n").slice(-lines)
  const all = `All of its output: ${relative(process.cwd(), log)}`
  console.log(`\n  ${step}: ${why ?? "ok"}. ${all}\n`)
  console.log(output.map((line) => `  | ${line}`).join("\n"))
  for (const problem of problems) console.log(`\n  ${problem}`)
  console.log("")
}

const runPart = async (part: Part, verbose: boolean): Promise<boolean> => {
  process.stdout.write(`${part.name.padEnd(12)}`)
  const start = performance.now()
  const limitMillis = part.budgetSeconds * 1000 * killAfterBudgets
  const results: Array<Result> = []
  for (const step of part.steps) {
    if (step.needs !== undefined && !existsSync(join(root, step.needs))) continue
    const left = Math.max(1000, limitMillis - (performance.now() - start))
    results.push(await runStep(part, step, left))
  }
  const seconds = (performance.now() - start) / 1000
  const failures = results.filter(({ why }) => why !== null)
  const budgets = seconds / part.budgetSeconds
  const over = budgets > failAfterBudgets
  if (over) total.failed++
  const verdict = failures.length > 0
    ? "FAILED"
    : over
    ? "FAILED: TWICE ITS BUDGET"
    : budgets > 1
    ? "ok, over its budget"
    : "ok"
  const time = `${seconds.toFixed(1).padStart(7)} s of ${String(part.budgetSeconds).padStart(4)} s`
  console.log(`${time}   ${verdict}`)
  for (const result of verbose ? results : failures) show(result, verbose ? Infinity : tailLines)
  return failures.length === 0 && !over
}

const flags = readFlags()
if (flags.help) {
  console.log(usage)
  process.exit(0)
}

const missing = missingTools()
if (missing.length > 0) {
  console.log(missing.join("\n"))
  total.failed++
  finish(1)
}

mkdirSync(reports, { recursive: true })
const wanted = flags.only.length > 0
  ? parts.filter(({ name }) => flags.only.includes(name))
  : parts.filter(({ full }) => flags.full || full !== true)

let green = true
for (const part of wanted) {
  if (!await runPart(part, flags.verbose)) green = false
}
finish(green ? 0 : 1)
