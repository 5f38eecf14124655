import { assert, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../src/main.ts", import.meta.url))

interface Bench {
  readonly child: ChildProcess
  /** Its own temporary folders are in it. */
  readonly folder: string
  readonly said: Array<string>
}

/** Runs the program as a terminal does, in a process group of its own. */
const start = (works: string): Bench => {
  const folder = mkdtempSync(join(tmpdir(), "bench-interrupted-"))
  const child = spawn(
    process.execPath,
    ["--conditions=@kafka-once/source", program, "--short", "--work", works],
    { detached: true, env: { ...process.env, TMPDIR: folder }, stdio: ["ignore", "pipe", "pipe"] }
  )
  return { child, folder, said: [] }
}

/** Resolves with the first line that has a text in it. */
const heard = ({ child, said }: Bench, text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    for (const input of [child.stdout!, child.stderr!]) {
      createInterface({ input }).on("line", (line) => {
        said.push(line)
        if (line.includes(text)) resolve()
      })
    }
    child.once("exit", () => reject(new Error(`it ended before "${text}": ${said.join("\n")}`)))
  })

/** The fields of `/proc/PID/stat` after the name, or `null` of a process that is gone. */
const statOf = (pid: number): ReadonlyArray<string> | null => {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")
  } catch {
    return null
  }
}

const parentOf = (pid: number): number => Number(statOf(pid)?.[1])

// One that has ended, and that nobody has asked about yet, is gone, too.
const isAlive = (pid: number): boolean => !["Z", "X", undefined].includes(statOf(pid)?.[0])

const descendantsOf = (pid: number): ReadonlyArray<number> => {
  const children = readdirSync("/proc").map(Number).filter((one) => parentOf(one) === pid)
  return [...children, ...children.flatMap(descendantsOf)]
}

const until = async (isOver: () => boolean): Promise<void> => {
  while (!isOver()) await new Promise((resolve) => setImmediate(resolve))
}

describe("an interrupted benchmark", () => {
  for (
    const [works, text, processes] of [
      ["pipeline", "6 contenders", 7],
      ["single", "8 contenders", 2]
    ] as const
  ) {
    it(`of ${works} ends at once, and leaves no process and no folder`, async () => {
      const bench = start(works)
      try {
        const pid = bench.child.pid!
        await heard(bench, text)
        // The broker, and who contends: all of them before the first round, or one by one.
        await until(() => descendantsOf(pid).length >= processes)
        const before = descendantsOf(pid)
        assert.isNotEmpty(readdirSync(bench.folder))
        const ended = once(bench.child, "exit")
        process.kill(-pid, "SIGINT")
        assert.deepStrictEqual(await ended, [130, null])
        await until(() => !before.some(isAlive))
        assert.deepStrictEqual(readdirSync(bench.folder), [])
        assert.lengthOf(bench.said.filter((line) => /error/i.test(line)), 0, bench.said.join("\n"))
      } finally {
        bench.child.kill("SIGKILL")
        rmSync(bench.folder, { recursive: true, force: true })
      }
    })
  }
})
