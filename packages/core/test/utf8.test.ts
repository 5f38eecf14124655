import { assert, describe, it } from "@effect/vitest"
import { encodeUtf8 } from "../src/internal/utf8.ts"

describe("the bytes of a text", () => {
  it("are those of UTF-8, whatever the length and the characters", () => {
    for (const unit of ["", "a", "é", "€", "😀", "\ud800"]) {
      for (const length of [1, 2, 340, 341, 342, 682, 683, 1_000, 20_000]) {
        const text = unit.repeat(length)
        assert.deepStrictEqual(encodeUtf8(text), new TextEncoder().encode(text))
      }
    }
  })

  it("stay as they are while others are encoded", () => {
    const texts = Array.from({ length: 5_000 }, (_, index) => `${index} €`.repeat(index % 40))
    const encoded = texts.map(encodeUtf8)
    const decoder = new TextDecoder()
    assert.deepStrictEqual(encoded.map((bytes) => decoder.decode(bytes)), texts)
  })
})
