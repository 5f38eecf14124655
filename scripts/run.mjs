/**
 * What every npm script calls: `node scripts/run.mjs <command> [arguments]`.
 *
 * It installs first when what is installed is not what package-lock.json says, then runs the
 * command under the Node 24 that comes as a dev dependency. It is plain JavaScript and stays within
 * what Node 18 can do, because it is the one file that the machine's own Node runs.
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { constants } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const commands = {
  quickstart: "examples/quickstart/main.ts",
  verify: "scripts/verify.ts",
  prove: "packages/proof/scripts/prove.ts",
  soak: "packages/proof/scripts/soak.ts",
  bench: "packages/bench/src/main.ts"
}

const root = fileURLToPath(new URL("..", import.meta.url))
const modules = join(root, "node_modules")
const bin = join(modules, ".bin")
const stamp = join(modules, ".kafka-once-installed")
const lock = join(root, ".build", "install.lock")
const lockWait = 600_000

// npm runs scripts with node_modules/.bin in front. The install itself must not run on a Node that
// it may be about to replace, so that the folder is taken out again.
const systemPath = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes(join("node_modules", ".bin")))
  .join(delimiter)

const fail = (message, code) => {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}

/**
 * Runs one process, hands signals on to it, and answers its exit code. `killAfter` bounds, in
 * milliseconds, how long it may take to obey a signal.
 */
const run = (file, args, { killAfter, ...options }) =>
  new Promise((resolve) => {
    const child = spawn(file, args, { stdio: "inherit", ...options })
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"]
    const forward = (signal) => {
      child.kill(signal)
      if (killAfter !== undefined) setTimeout(() => child.kill("SIGKILL"), killAfter).unref()
    }
    for (const signal of signals) process.on(signal, forward)
    // npm runs this file by way of a shell. When npm alone is killed, the shell ends and tells
    // nobody; then this process has another parent.
    const parent = process.ppid
    const orphaned = setInterval(() => {
      if (process.ppid === parent || process.env.npm_lifecycle_event === undefined) return
      clearInterval(orphaned)
      forward("SIGTERM")
    }, 1000)
    const end = (code) => {
      clearInterval(orphaned)
      for (const signal of signals) process.off(signal, forward)
      resolve(code)
    }
    child.on("error", (error) => {
      process.stderr.write(`${file} cannot be started: ${error.message}\n`)
      end(127)
    })
    // A process that a signal ended answers as a shell would tell it.
    child.on("exit", (code, signal) => end(code ?? 128 + constants.signals[signal]))
  })

// What the install depends on: the lockfile, and the machine, because some packages hold binaries.
const wanted = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .update(`${process.platform} ${process.arch}`)
  .digest("hex")

const isInstalled = () =>
  existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && existsSync(join(bin, "node"))

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === "EPERM"
  }
}

/** Takes the install lock, or waits until the other terminal that has it is done. */
const takeLock = async () => {
  mkdirSync(join(root, ".build"), { recursive: true })
  for (let waited = 0; waited < lockWait; waited += 250) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" })
      return
    } catch (error) {
      if (error.code !== "EEXIST") throw error
    }
    const owner = existsSync(lock) ? Number(readFileSync(lock, "utf8")) : 0
    // An empty file is one that its owner is just about to write.
    if (owner > 0 && !isAlive(owner)) rmSync(lock, { force: true })
    else await new Promise((resolve) => setTimeout(resolve, 250))
  }
  fail(`Another install has been under way for ten minutes. If there is none, delete ${lock}.`, 1)
}

const install = async () => {
  await takeLock()
  try {
    if (isInstalled()) return 0
    process.stderr.write("Installing dependencies (npm install); this happens once.\n")
    // Not `npm ci`: it deletes what a developer has linked or is running from, and it refuses a
    // lockfile that lacks the binaries of other platforms. The versions are the lockfile's in both
    // cases, and `--no-save` leaves the lockfile as it is.
    const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
    const code = await run("npm", args, {
      cwd: root,
      env: { ...process.env, PATH: systemPath },
      stdio: ["ignore", 2, 2],
      // npm finishes its downloads first, and an install that is cut off is repaired by the next.
      killAfter: 1000
    })
    if (code === 0 && existsSync(join(bin, "node"))) writeFileSync(stamp, wanted)
    return code
  } finally {
    rmSync(lock, { force: true })
  }
}

const [command, ...args] = process.argv.slice(2)
const entry = Object.hasOwn(commands, command ?? "") ? commands[command] : undefined
if (entry === undefined) {
  const names = Object.keys(commands).join(", ")
  fail(`Unknown command ${JSON.stringify(command ?? "")}. The commands are: ${names}.`, 2)
}

if (!isInstalled()) {
  const code = await install()
  // 128 and above: stopped by a signal, which needs no explanation.
  if (code >= 128) process.exit(code)
  if (code !== 0) {
    fail(`The install failed (npm exit code ${code}; its message is above). Nothing was run.`, 1)
  }
  if (!existsSync(join(bin, "node"))) {
    fail(
      "The install left no Node 24 in node_modules/.bin: the install script of the package " +
        "`node` did not run. Allow install scripts (npm config get ignore-scripts); try again.",
      1
    )
  }
}

process.exitCode = await run(
  join(bin, "node"),
  ["--conditions=@kafka-once/source", join(root, entry), ...args],
  { env: { ...process.env, PATH: bin + delimiter + systemPath } }
)
