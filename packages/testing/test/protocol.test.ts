import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { randomInt } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { findJar, generate, generatedFolder } from "../scripts/generateProtocol.ts"
import type { ApiSchema } from "../src/internal/protocol/apiSchema.ts"
import * as Frame from "../src/internal/protocol/frame.ts"
import { apis } from "../src/internal/protocol/generated/apis.ts"
import { ProtocolError } from "../src/internal/protocol/protocolError.ts"
import { makeRandom, type NextInt, randomMessage } from "./protocolMessages.ts"

// KAFKA_ONCE_SEED replays a failure; every title below says the seed of its run.
const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? randomInt(2 ** 31))

const everyVersion = function*(): Generator<readonly [ApiSchema, Frame.ApiName, number]> {
  for (const api of apis) {
    for (let version = api.versions[0]; version <= api.versions[1]; version++) {
      yield [api, api.name as Frame.ApiName, version]
    }
  }
}

const header = (next: NextInt, apiVersion: number) => ({
  apiVersion,
  correlationId: next(2 ** 31),
  clientId: ["client", "", null][next(3)]!
})

describe("the generated tables", () => {
  it("are what the generator makes of the kafka-clients jar", () => {
    for (const [name, text] of Object.entries(generate(readFileSync(findJar())))) {
      assert.strictEqual(
        readFileSync(join(generatedFolder, name), "utf8"),
        text,
        `${name} has drifted: run scripts/generateProtocol.ts`
      )
    }
  })
})

describe(`round trips (seed ${seed})`, () => {
  it("a request of every API and version is read and written back as the same bytes", () => {
    const next = makeRandom(seed)
    for (const [api, name, version] of everyVersion()) {
      for (let round = 0; round < 10; round++) {
        const options = { next, flexible: version >= api.flexible, omitDefaults: false }
        const body = randomMessage(api.request, version, options)
        const bytes = Frame.encodeRequestUnsafe(name, header(next, version), body as never)
        const decoded = Result.getOrThrow(Frame.decodeRequest(bytes.subarray(4)))
        assert.strictEqual(bytes.readInt32BE(0), bytes.length - 4)
        assert.strictEqual(decoded.api, name)
        assert.deepStrictEqual(decoded.body, body, `${name} v${version}, seed ${seed}`)
        const again = Frame.encodeRequestUnsafe(name, decoded.header, decoded.body as never)
        assert.isTrue(again.equals(bytes), `${name} v${version}, seed ${seed}`)
      }
    }
  })

  it("a response of every API and version is read and written back as the same bytes", () => {
    const next = makeRandom(seed)
    for (const [api, name, version] of everyVersion()) {
      for (let round = 0; round < 10; round++) {
        const options = { next, flexible: version >= api.flexible, omitDefaults: false }
        const body = randomMessage(api.response, version, options)
        const bytes = Frame.encodeResponseUnsafe(name, version, next(2 ** 31), body)
        const decoded = Result.getOrThrow(
          Frame.decodeResponse(name, version, bytes.subarray(4))
        )
        assert.deepStrictEqual(decoded.body, body, `${name} v${version}, seed ${seed}`)
        const again = Frame.encodeResponseUnsafe(
          name,
          version,
          decoded.correlationId,
          decoded.body
        )
        assert.isTrue(again.equals(bytes), `${name} v${version}, seed ${seed}`)
      }
    }
  })
})

describe(`malformed input (seed ${seed})`, () => {
  it("a request that is cut anywhere is a typed error", () => {
    const next = makeRandom(seed)
    for (const [api, name, version] of everyVersion()) {
      const options = { next, flexible: version >= api.flexible, omitDefaults: false }
      const body = randomMessage(api.request, version, options)
      const content = Frame.encodeRequestUnsafe(name, header(next, version), body as never)
        .subarray(4)
      for (let cut = 0; cut < content.length; cut += 1 + next(5)) {
        const result = Frame.decodeRequest(content.subarray(0, cut))
        assert.isTrue(Result.isFailure(result), `${name} v${version} cut at ${cut}, seed ${seed}`)
        if (Result.isFailure(result)) assert.instanceOf(result.failure, ProtocolError)
      }
    }
  })

  it("random changes of bytes are a typed error or another message, never a crash", () => {
    const next = makeRandom(seed)
    for (const [api, name, version] of everyVersion()) {
      const options = { next, flexible: version >= api.flexible, omitDefaults: false }
      const body = randomMessage(api.response, version, options)
      const content = Frame.encodeResponseUnsafe(name, version, 1, body).subarray(4)
      for (let round = 0; round < 20; round++) {
        const changed = Buffer.from(content)
        for (let count = 1 + next(4); count > 0; count--) {
          changed[next(changed.length)] = [0xff, 0x7f, 0x80, next(256)][next(4)]!
        }
        const result = Frame.decodeResponse(name, version, changed)
        if (Result.isFailure(result)) assert.instanceOf(result.failure, ProtocolError)
      }
    }
  })

  it("a length that claims more than the frame holds is refused, and nothing allocated", () => {
    const lengths = Buffer.from([0x7f, 0xff, 0xff, 0xff])
    const result = Frame.decodeResponse("Metadata", 0, Buffer.concat([Buffer.alloc(4), lengths]))
    assert.isTrue(Result.isFailure(result))
    if (Result.isFailure(result)) {
      assert.strictEqual(result.failure.reason._tag, "Malformed")
      assert.include(result.failure.message, "2147483647 elements")
    }
  })

  it("an API or a version that Kafka does not have is named", () => {
    const unknownApi = Buffer.from([0x03, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff])
    const unknownVersion = Buffer.from([0, 26, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0])
    const first = Frame.decodeRequest(unknownApi)
    const second = Frame.decodeRequest(unknownVersion)
    assert.isTrue(Result.isFailure(first) && Result.isFailure(second))
    if (Result.isFailure(first)) assert.include(first.failure.message, "no client API 999")
    if (Result.isFailure(second)) {
      assert.include(second.failure.message, "EndTxn has versions 0 to 5, not 99")
    }
  })

  it("a message that cannot be written names the field and what it needs", () => {
    const failure = (body: unknown) => {
      const result = Frame.encodeRequest(
        "EndTxn",
        { apiVersion: 3, correlationId: 1, clientId: null },
        body as never
      )
      return Result.isFailure(result) ? result.failure.message : "no failure"
    }
    assert.include(failure({ producerId: 1 }), "producerId: a bigint of 64 bits is needed, not 1")
    assert.include(failure({ producerEpoch: 40_000 }), "producerEpoch: an integer of")
    assert.include(failure({ commited: true }), "there is no field commited")
    assert.include(failure({ transactionalId: null }), "transactionalId: a string is needed")
  })
})
