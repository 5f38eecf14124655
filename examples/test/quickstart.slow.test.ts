import { assert, it, layer } from "@effect/vitest"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { inFolder, run } from "./runQuickstart.ts"

layer(EmbeddedKafka.layer(), { timeout: "3 minutes" })(
  "the quickstart on a cluster of one's own",
  (it) => {
    it.effect.each(["kafkajs", "platformatic"])(
      "kills a worker, cuts nothing, and names what it leaves behind, on %s",
      (driver) =>
        Effect.gen(function*() {
          const { bootstrapServers } = yield* EmbeddedKafka.EmbeddedKafka
          // What rejects is an assertion, which is to be told as it is.
          yield* Effect.promise(() =>
            inFolder(async (folder) => {
              const file = join(folder, "result.json")
              const { code, stdout, stderr } = await run([
                "--brokers",
                bootstrapServers.join(","),
                "--driver",
                driver,
                "--records",
                "2000",
                "--json",
                file
              ])
              assert.strictEqual(code, 0, `${stdout}${stderr}`)
              assert.match(stdout, /left behind: kafka-once-quickstart-\w+-raw, /)
              const result = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>
              const { deadLetters, networkCuts, records, workersKilled } = result
              assert.deepStrictEqual(
                { deadLetters, networkCuts, records, workersKilled },
                { deadLetters: 4, networkCuts: 0, records: 1_996, workersKilled: 1 }
              )
            })
          )
        }),
      240_000
    )
  }
)

it("the quickstart is right with ten times the file, too", async () => {
  const { code, stdout, stderr } = await run(["--records", "200000"])
  assert.strictEqual(code, 0, `${stdout}${stderr}`)
  assert.match(stdout, /flights read back +199,600 /)
  assert.match(stdout, /dead letters +400$/m)
}, 240_000)
