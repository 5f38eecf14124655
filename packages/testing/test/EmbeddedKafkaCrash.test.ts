import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Ports from "../src/internal/ports.ts"

const program = fileURLToPath(new URL("EmbeddedKafkaProgram.ts", import.meta.url))

interface Owned {
  readonly directory: string
  readonly ports: ReadonlyArray<number>
}

interface Ended {
  readonly owned: Owned
  readonly code: number | null
}

/** Runs the program until its nodes are up, sends it the signal, and waits until it has ended. */
const endWith = (signal: NodeJS.Signals, nodes: number): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const child = spawn(
      process.execPath,
      ["--conditions=@kafka-once/source", program, String(nodes)],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
      if (output.endsWith("\n")) {
        child.kill(signal)
      }
    })
    child.on("close", (code) => resume(Effect.succeed({ owned: JSON.parse(output), code })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const isGone = ({ directory, ports }: Owned) =>
  Effect.map(
    Effect.forEach(ports, Ports.isFree),
    (free) => free.every((one) => one) && !existsSync(directory)
  )

describe("a program that owns a broker", () => {
  it.live.each(["SIGINT", "SIGTERM"] as const)(
    "%s: the broker is gone before it ends",
    (signal) =>
      Effect.gen(function*() {
        const { code, owned } = yield* endWith(signal, 1)
        assert.strictEqual(code, 130)
        assert.isTrue(yield* isGone(owned))
      })
  )

  it.live.each([1, 3])(
    "SIGKILL: %i nodes notice, remove their directory and end",
    (nodes) =>
      Effect.gen(function*() {
        const { code, owned } = yield* endWith("SIGKILL", nodes)
        assert.isNull(code)
        assert.strictEqual(owned.ports.length, nodes)
        // Nobody tells when an orphan has ended, so this looks until it has.
        const gone = yield* isGone(owned).pipe(
          Effect.repeat({
            until: (gone) => gone,
            schedule: Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 200 }))
          }),
          Effect.andThen(isGone(owned))
        )
        assert.isTrue(gone)
      })
  )
})
