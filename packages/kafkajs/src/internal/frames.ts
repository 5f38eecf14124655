/**
 * Cuts a stream of bytes into Kafka's responses: a size, a correlation id and a body.
 */

export interface Frames {
  /** Takes what arrived; `false` means that this is not Kafka's protocol. */
  readonly push: (chunk: Buffer) => boolean
}

/**
 * A response larger than this is taken for another protocol: "HTTP" read as a size is 1.2 GB and a
 * TLS alert 352 MB, while kafkajs would wait for that many bytes.
 */
const largestResponseBytes = 256 * 1024 * 1024

/**
 * `wanted` tells whether the body of an answer is to be kept, or with `null` that nothing was asked
 * under that correlation id; what is not kept is only counted.
 */
export const make = (handlers: {
  readonly wanted: (correlationId: number) => boolean | null
  readonly answered: (correlationId: number, body: Buffer | null) => void
}): Frames => {
  let head: Buffer = Buffer.alloc(0)
  let missing = 0
  let correlationId = 0
  let body: Array<Buffer> | null = null

  const finish = (): void => {
    handlers.answered(correlationId, body === null ? null : Buffer.concat(body))
    body = null
  }

  /** Reads size and correlation id; `null` where there are not enough bytes yet. */
  const takeHead = (chunk: Buffer): Buffer | null | false => {
    const joined = head.length === 0 ? chunk : Buffer.concat([head, chunk])
    if (joined.length >= 4) {
      const size = joined.readInt32BE(0)
      if (size < 4 || size > largestResponseBytes) return false
    }
    if (joined.length < 8) {
      head = joined
      return null
    }
    correlationId = joined.readInt32BE(4)
    const wanted = handlers.wanted(correlationId)
    if (wanted === null) return false
    body = wanted ? [] : null
    missing = joined.readInt32BE(0) - 4
    head = Buffer.alloc(0)
    if (missing === 0) finish()
    return joined.subarray(8)
  }

  return {
    push: (chunk) => {
      let rest = chunk
      while (rest.length > 0) {
        if (missing === 0) {
          const after = takeHead(rest)
          if (after === false) return false
          if (after === null) return true
          rest = after
          continue
        }
        const part = rest.subarray(0, missing)
        if (body !== null) body.push(part)
        missing -= part.length
        rest = rest.subarray(part.length)
        if (missing === 0) finish()
      }
      return true
    }
  }
}
