/**
 * The quickstart as a user runs it.
 */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../quickstart/main.ts", import.meta.url))

/** What Node is given. */
export const nodeArguments = ["--conditions=@kafka-once/source", main]

/** This process's environment, without a cluster. */
export const environment: NodeJS.ProcessEnv = { ...process.env, KAFKA_BROKERS: undefined }

/** Runs the quickstart to its end. */
export const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = environment) =>
  new Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>(
    (resolve) =>
      execFile(
        process.execPath,
        [...nodeArguments, ...args],
        { timeout: 240_000, env },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })
      )
  )

/** Gives a folder, and removes it. */
export const inFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "kafka-once-quickstart-"))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
