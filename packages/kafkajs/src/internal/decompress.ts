/**
 * The records of a fetched batch, decompressed.
 */
import { DriverError, Failure } from "@kafka-once/core/DriverError"
import type * as RecordBatches from "@kafka-once/core/RecordBatches"
import * as Effect from "effect/Effect"
// Node finds only some names of a CommonJS module, and `CompressionCodecs` is none of them.
import kafkajs, { CompressionTypes } from "kafkajs"
import { promisify } from "node:util"
import { gunzip, zstdDecompress } from "node:zlib"

/** What a batch may grow to; a broker's own limit for one is far below. */
const mostDecompressedBytes = 256 * 1024 * 1024
const limits = { maxOutputLength: mostDecompressedBytes }
const fromGzip = promisify<Buffer, typeof limits, Buffer>(gunzip)
const fromZstd = promisify<Buffer, typeof limits, Buffer>(zstdDecompress)

export const decompress: RecordBatches.Decompress<Buffer> = (type, bytes) => {
  switch (type) {
    case CompressionTypes.GZIP:
      return decompressing("gzip", () => fromGzip(bytes, limits))
    case CompressionTypes.ZSTD:
      return decompressing("zstd", () => fromZstd(bytes, limits))
    case CompressionTypes.Snappy:
      return decompressing("snappy", () => registered(type, bytes))
    case CompressionTypes.LZ4:
      return decompressing("lz4", () => registered(type, bytes))
    default:
      return Effect.fail(failed(`is compressed in an unknown way, ${type}`))
  }
}

/** Where users put codecs for kafkajs, which has none of its own for these. */
const registered = async (
  type: CompressionTypes.Snappy | CompressionTypes.LZ4,
  bytes: Buffer
): Promise<Buffer> => {
  const codecs: Record<number, () => { decompress: (bytes: Buffer) => Promise<Buffer> }> =
    kafkajs.CompressionCodecs
  const codec = codecs[type]?.()
  if (codec === undefined) throw new Error("There is no such codec")
  return codec.decompress(bytes)
}

const decompressing = (name: string, decompress: () => Promise<Buffer>) =>
  Effect.tryPromise({
    try: decompress,
    catch: () =>
      failed(
        `is compressed with ${name}, and could not be decompressed` +
          (name === "snappy" || name === "lz4"
            ? "; a codec for it must be in `CompressionCodecs` of kafkajs"
            : "")
      )
  })

const failed = (problem: string): DriverError =>
  new DriverError({
    request: "Fetch",
    failure: Failure.Refused(),
    detail: `A batch of records ${problem}`
  })
