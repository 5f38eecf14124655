import { assert, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../10-scale/main.ts", import.meta.url))

it("processes that are killed, added and leave neither lose nor double anything", async () => {
  const { code, output } = await new Promise<{ readonly code: number; readonly output: string }>(
    (resolve) =>
      execFile(
        process.execPath,
        ["--conditions=@kafka-once/source", main],
        { timeout: 150_000 },
        (error, stdout, stderr) =>
          resolve({
            code: error === null ? 0 : Number(error.code ?? -1),
            output: `${stdout}${stderr}`
          })
      )
  )
  assert.strictEqual(code, 0, output)
  assert.match(output, /^three workers share twelve partitions, .*: w1 \d, w2 \d, w3 \d$/m)
  assert.match(output, /^w2 was killed, .*: w1 \d, w3 \d$/m)
  assert.match(output, /^w4 and w5 were added, .*: w1 \d, w3 \d, w4 \d, w5 \d$/m)
  assert.match(output, /^w1 was killed, w3 has left, .*: w4 \d, w5 \d$/m)
  assert.match(output, /^\d+ numbers; squares lost: 0, doubled: 0$/m)
}, 180_000)
