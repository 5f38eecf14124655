import { assert, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

const run = (example: string, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly output: string }>((resolve) =>
    execFile(
      process.execPath,
      [
        "--conditions=@kafka-once/source",
        fileURLToPath(new URL(`../${example}/main.ts`, import.meta.url)),
        ...args
      ],
      { timeout: 150_000 },
      (error, stdout, stderr) =>
        resolve({
          code: error === null ? 0 : Number(error.code ?? -1),
          output: `${stdout}${stderr}`
        })
    )
  )

it("each record is booked once, though workers die and a zombie goes on", async () => {
  const { code, output } = await run("11-results-in-postgres")
  assert.strictEqual(code, 0, output)
  assert.match(output, /^a worker was killed after it had inserted$/m)
  assert.match(output, /^a worker was killed after it had booked$/m)
  assert.match(output, /^the zombie went on and booked 0$/m)
  assert.match(output, /^1000 payments, 1000 bookings, the sum is right: true$/m)
}, 180_000)

it.each(["kafkajs", "platformatic"])(
  "each row is relayed once and in order, though relays die, over %s",
  async (driver) => {
    const { code, output } = await run("12-outbox-relay", driver)
    assert.strictEqual(code, 0, output)
    assert.match(output, /^a relay was killed after it had sent$/m)
    assert.match(output, /^a relay was killed after it had committed$/m)
    assert.match(output, /^202 rows, 202 records, same order: true$/m)
  },
  180_000
)
