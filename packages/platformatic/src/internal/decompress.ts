/**
 * The records of a fetched batch, decompressed by the client's algorithms.
 */
import { DriverError, Failure } from "@kafka-once/core/DriverError"
import type * as RecordBatches from "@kafka-once/core/RecordBatches"
import { compressionsAlgorithms, UnsupportedCompressionError } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import { refused } from "./failure.ts"

export const decompress: RecordBatches.Decompress<Buffer> = (type, bytes) =>
  Effect.try({
    try: () => {
      const algorithm = algorithms.find(({ bitmask }) => bitmask === type)
      if (algorithm === undefined) throw new UnsupportedCompressionError(`No algorithm is ${type}`)
      return algorithm.decompressSync(bytes)
    },
    catch: (error) =>
      // Also of one that this Node has not.
      error instanceof UnsupportedCompressionError
        ? refused("Fetch", "A batch of records is compressed in a way that is not known here")
        : new DriverError({
          request: "Fetch",
          failure: Failure.NotKafka(),
          detail: "A batch of records cannot be decompressed"
        })
  })

const algorithms = Object.values(compressionsAlgorithms)
