import { assert, it, layer } from "@effect/vitest"
import * as SharedKafka from "@kafka-once/testing/SharedKafka"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("..", import.meta.url))
const examples = readdirSync(folder).filter((name) => /^\d\d-.*(?<!\.test)\.ts$/.test(name)).sort()

/** What an example declares in comments: `// => a line of its output` and `// exit code 3`. */
const declared = (name: string) => {
  const text = readFileSync(`${folder}${name}`, "utf8")
  return {
    code: Number(/^\/\/ exit code (\d+)$/m.exec(text)?.[1] ?? 0),
    output: [...text.matchAll(/^\/\/ => (.*)$/gm)].map((match) => match[1] ?? "")
  }
}

/** Runs an example as a user would, on the cluster that `brokers` names, if any. */
const run = (name: string, brokers: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number; readonly output: ReadonlyArray<string> }>((resume) => {
    const { KAFKA_BROKERS: _, ...rest } = process.env
    const child = execFile(
      process.execPath,
      ["--conditions=@kafka-once/source", `${folder}${name}`],
      {
        timeout: 60_000,
        env: brokers.length === 0 ? rest : { ...rest, KAFKA_BROKERS: brokers.join(",") }
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : Number(error.code ?? -1)
        // Where the example fails in a way it has not declared, its last words are what one needs.
        if (code !== declared(name).code) process.stderr.write(stderr)
        resume(Effect.succeed({ code, output: stdout.split("\n").filter((line) => line !== "") }))
      }
    )
    return Effect.sync(() => child.kill("SIGTERM"))
  })

const topics = [
  "orders",
  "payments",
  "receipts",
  "transfers",
  "booked",
  "transfers-dead",
  "readings",
  "alarms",
  "readings-dead"
]

const KafkaWithTopics = Layer.effectDiscard(
  Effect.flatMap(SharedKafka.SharedKafka, ({ createTopic }) =>
    // On a cluster of one's own they may be there already.
    Effect.forEach(topics, (topic) => Effect.ignore(createTopic(topic))))
).pipe(Layer.provideMerge(SharedKafka.layer))

layer(KafkaWithTopics, { timeout: "3 minutes" })(
  "on a cluster that KAFKA_BROKERS names",
  (it) => {
    for (const name of examples) {
      it.effect(`${name} prints what it says, and ends as it says`, () =>
        Effect.gen(function*() {
          const kafka = yield* SharedKafka.SharedKafka
          const expected = declared(name)
          assert.isNotEmpty(expected.output)
          assert.deepStrictEqual(yield* run(name, kafka.bootstrapServers), expected)
        }))
    }
  }
)

it.effect("without KAFKA_BROKERS an example starts a broker, and ends it", () =>
  Effect.gen(function*() {
    const [first = ""] = examples
    assert.deepStrictEqual(yield* run(first, []), declared(first))
  }))

it("there are examples, numbered without a gap", () => {
  const numbers = readdirSync(folder)
    .filter((name) => /^\d\d-/.test(name))
    .map((name) => Number(name.slice(0, 2)))
    .sort((a, b) => a - b)
  assert.deepStrictEqual(numbers, numbers.map((_, index) => index + 1))
  assert.isAtLeast(numbers.length, 6)
})
