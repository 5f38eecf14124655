import { assert, describe, it } from "@effect/vitest"
import { makeSticky, murmur2, partitionOfKey } from "../src/internal/partitioner.ts"
import { encodeUtf8 } from "../src/internal/utf8.ts"

// From UtilsTest.testMurmur2 of the Java client.
const vectors: ReadonlyArray<readonly [key: string, hash: number]> = [
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107]
]

describe("the partitioner", () => {
  for (const [key, hash] of vectors) {
    it(`hashes "${key}" as the Java client does`, () => {
      assert.strictEqual(murmur2(encodeUtf8(key)), hash)
    })
  }

  it("gives a key the same partition each time, and never a negative one", () => {
    for (let i = 0; i < 1_000; i++) {
      const key = encodeUtf8(`key-${i}`)
      const partition = partitionOfKey(key, 7)
      assert.isAtLeast(partition, 0)
      assert.isBelow(partition, 7)
      assert.strictEqual(partitionOfKey(key, 7), partition)
    }
    assert.strictEqual(partitionOfKey(encodeUtf8("21"), 10), (-973932308 & 0x7fffffff) % 10)
  })

  it("keeps records without a key together until a batch is full, then goes on to the next", () => {
    const choose = makeSticky((count) => 5 % count)
    const first = Array.from({ length: 16 }, () => choose("orders", 3, 1_024))
    assert.deepStrictEqual(new Set(first), new Set([2]))
    assert.strictEqual(choose("orders", 3, 1_024), 0)
    assert.strictEqual(choose("audit", 1, 1_024), 0)
  })

  it("leaves a partition that is not there any more", () => {
    const choose = makeSticky((count) => count - 1)
    assert.strictEqual(choose("orders", 8, 1), 7)
    assert.strictEqual(choose("orders", 3, 1), 2)
  })
})
