/**
 * The broker's jars, resolved by Maven into a cache per user.
 *
 * A cache directory belongs to one version of Kafka, one build of Java, and the text of this
 * package's Java files: anything else makes another one. It is filled in this order, each file by
 * a rename: the launcher's jar, the archive of loaded classes, and last `class-path`. Only a
 * directory with `class-path` is used, so a process that dies on the way leaves nothing that a
 * later one trusts.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { createHash } from "node:crypto"
import { mkdir, mkdtemp, open, readFile, rename } from "node:fs/promises"
import { homedir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"
import * as ChildProcess from "./childProcess.ts"
import * as Files from "./files.ts"
import type { Java } from "./java.ts"

/** Jars that are ready to run. `archive` is null where Java could not make one. */
export interface Jars {
  readonly classPath: string
  readonly archive: string | null
}

/** The package's Java sources; the same folder seen from `src` and from `dist`. */
export const javaDirectory = fileURLToPath(new URL("../../java/", import.meta.url))

const launcherSource = join(javaDirectory, "BrokerLauncher.java")
const pom = join(javaDirectory, "pom.xml")

const lockPoll = "100 millis"
const lockLimit = "10 minutes"

/** Makes the archive of classes at a path, or does not; its failure costs only time later. */
export type MakeArchive = (classPath: string, path: string) => Effect.Effect<void>

/** Answers from the cache, or fills it, telling on standard error what takes so long. */
export const resolve = Effect.fnUntraced(
  function*(version: string, java: Java, makeArchive: MakeArchive) {
    const directory = yield* cacheDirectory(version, java)
    const cached = yield* read(directory)
    if (cached !== null) {
      return cached
    }
    return yield* Effect.scoped(Effect.gen(function*() {
      yield* lock(directory)
      // Whoever held the lock may have filled it.
      return (yield* read(directory)) ?? (yield* fill(directory, version, java, makeArchive))
    }))
  }
)

const cacheDirectory = Effect.fnUntraced(function*(version: string, java: Java) {
  const home = process.env["XDG_CACHE_HOME"]
  const cache = home === undefined || home === "" ? join(homedir(), ".cache") : home
  const sources = yield* Files.attempt(
    "reading the package's Java files",
    () => Promise.all([readFile(pom), readFile(launcherSource)])
  )
  const hash = createHash("sha256").update(java.home).update(java.build)
  sources.forEach((source) => hash.update(source))
  return join(cache, "kafka-once", version, hash.digest("hex").slice(0, 12))
})

const read = Effect.fnUntraced(function*(directory: string) {
  const file = join(directory, "class-path")
  if (!(yield* Files.exists(file))) {
    return null
  }
  const text = yield* Files.attempt(`reading ${file}`, () => readFile(file, "utf8"))
  const classPath = text.trim()
  // Maven's repository is not ours: somebody may have emptied it since.
  for (const jar of classPath.split(delimiter)) {
    if (!(yield* Files.exists(jar))) {
      return null
    }
  }
  const archive = join(directory, "classes.jsa")
  return { classPath, archive: (yield* Files.exists(archive)) ? archive : null }
})

/**
 * One process fills at a time, since Maven's repository takes no two writers.
 *
 * The lock is a file that holds its owner's process id. The lock of a process that is gone is
 * taken over. Two processes that take one over at the same instant may both get in; then both
 * resolve, and since each file is written whole, the result is right all the same.
 */
const lock = (directory: string) =>
  Effect.acquireRelease(
    Files.attempt("making the cache directory", () => mkdir(directory, { recursive: true })).pipe(
      Effect.andThen(
        takeLock(join(directory, "lock")).pipe(
          Effect.retry({
            while: (error) => error.reason._tag === "MachineFailed",
            schedule: Schedule.spaced(lockPoll).pipe(Schedule.upTo({ duration: lockLimit }))
          })
        )
      )
    ),
    () => Effect.ignore(Files.remove(join(directory, "lock")), { log: "Warn" }),
    { interruptible: true }
  )

const takeLock = Effect.fnUntraced(function*(path: string) {
  const owner = yield* Effect.promise(() => readFile(path, "utf8").catch(() => ""))
  if (owner !== "" && !isAlive(Number(owner))) {
    yield* Files.remove(path)
  }
  yield* Files.attempt(
    "waiting for another process that fills the cache",
    () =>
      open(path, "wx").then((file) =>
        file.writeFile(String(process.pid)).finally(() => file.close())
      )
  )
})

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // A process of another user is alive, too.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

const fill = Effect.fnUntraced(
  function*(directory: string, version: string, java: Java, makeArchive: MakeArchive) {
    // Asked before Maven is: a download that ends here would have been for nothing.
    for (const name of ["javac", "jar"]) {
      if (!(yield* Files.exists(join(java.home, "bin", name)))) {
        const detail = `${java.home} has no "${name}", it is no development kit`
        return yield* EmbeddedKafkaError.make(
          new EmbeddedKafkaError.NoJava({ command: java.command, detail })
        )
      }
    }
    const say = (text: string) => Effect.sync(() => process.stderr.write(`kafka-once: ${text}\n`))
    yield* say(`resolving Apache Kafka ${version} with Maven, once for this user`)
    const resolved = yield* resolveWithMaven(directory, version, java)
    const jar = join(directory, "launcher.jar")
    yield* compile(directory, java, resolved, jar)
    const classPath = [jar, resolved].join(delimiter)
    yield* say("preparing a fast start, once for this user")
    const archive = join(directory, "classes.jsa")
    yield* makeArchive(classPath, archive)
    yield* Files.writeWhole(join(directory, "class-path"), classPath)
    yield* say(`Apache Kafka ${version} is ready`)
    return { classPath, archive: (yield* Files.exists(archive)) ? archive : null }
  }
)

const resolveWithMaven = Effect.fnUntraced(
  function*(directory: string, version: string, java: Java) {
    const output = join(directory, "maven-class-path")
    let jars = 0
    const finished = yield* ChildProcess.run("mvn", [
      "--batch-mode",
      "--file",
      pom,
      `-Dkafka.version=${version}`,
      "-DincludeScope=runtime",
      `-Dmdep.outputFile=${output}`,
      "dependency:build-classpath"
    ], {
      environment: { JAVA_HOME: java.home },
      onLine: (line) => {
        if (/Downloaded from .*\.jar /.test(line)) {
          jars++
          process.stderr.write(
            process.stderr.isTTY ? `\r${jars} jars downloaded ` : jars % 20 === 0
              ? `kafka-once: ${jars} jars downloaded\n`
              : ""
          )
        }
      }
    })
    if (jars > 0 && process.stderr.isTTY) {
      process.stderr.write("\n")
    }
    if (finished.code !== 0) {
      return yield* EmbeddedKafkaError.make(classifyMaven(finished, version))
    }
    const text = yield* Files.attempt(
      "reading Maven's answer",
      () => readFile(output, "utf8")
    )
    return text.trim()
  }
)

/** Maven tells by text only. Exported for its table test. */
export const classifyMaven = (
  finished: ChildProcess.Finished,
  version: string
): EmbeddedKafkaError.Reason => {
  if (finished.code === null) {
    return new EmbeddedKafkaError.NoMaven({
      command: "mvn",
      detail: finished.failure ?? "it was ended"
    })
  }
  const text = `${finished.output}\n${finished.errors}`
  const complaint = text.split("\n").find((line) => line.includes("[ERROR]"))?.slice(0, 500) ??
    `code ${finished.code}`
  const unreachable = new RegExp(
    "in offline mode|Unknown host|UnknownHost|Connection refused|Connection reset|timed out|" +
      "Network is unreachable|No route to host|Could not transfer"
  )
  if (unreachable.test(text)) {
    return new EmbeddedKafkaError.Offline({ version, detail: complaint })
  }
  if (/Could not find artifact org\.apache\.kafka:/.test(text)) {
    return new EmbeddedKafkaError.BadOption({
      option: "version",
      detail: `Maven knows no Apache Kafka ${version} (${complaint})`
    })
  }
  return new EmbeddedKafkaError.MachineFailed({ step: "Maven", detail: complaint })
}

const compile = Effect.fnUntraced(
  function*(directory: string, java: Java, classPath: string, jar: string) {
    const work = yield* Files.attempt(
      "making a directory to compile in",
      () => mkdtemp(join(directory, "compile-"))
    )
    const classes = join(work, "classes")
    const made = join(work, "launcher.jar")
    yield* tool(java, "javac", ["-nowarn", "-cp", classPath, "-d", classes, launcherSource])
    yield* tool(java, "jar", ["cf", made, "-C", classes, "."])
    yield* Files.attempt(`writing ${jar}`, () => rename(made, jar))
    yield* Files.remove(work)
  }
)

const tool = Effect.fnUntraced(
  function*(java: Java, name: string, args: ReadonlyArray<string>) {
    const finished = yield* ChildProcess.run(join(java.home, "bin", name), args)
    if (finished.code !== 0) {
      const detail = finished.failure ?? `${finished.errors}${finished.output}`.slice(0, 2_000)
      return yield* EmbeddedKafkaError.make(
        new EmbeddedKafkaError.MachineFailed({ step: name, detail })
      )
    }
  }
)
