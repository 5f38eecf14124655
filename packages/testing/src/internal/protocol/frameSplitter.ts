/**
 * Cuts a stream of bytes into frames: four bytes of size, then that many bytes.
 */

/** Kafka's own `socket.request.max.bytes`; a size beyond it is not Kafka. */
export const frameBytesMax = 100 * 1024 * 1024

/**
 * A splitter for one direction of one connection. It calls `onFrame` with the content of each
 * frame, and returns what is wrong with the bytes, or null. After a problem it takes no more.
 */
export const make = (
  onFrame: (content: Buffer) => void,
  leastBytes = 4
): (chunk: Buffer) => string | null => {
  let kept: Array<Buffer> = []
  let keptBytes = 0
  let neededBytes = 4
  return (chunk) => {
    kept.push(chunk)
    keptBytes += chunk.length
    if (keptBytes < neededBytes) return null
    let bytes = kept.length === 1 ? chunk : Buffer.concat(kept, keptBytes)
    while (bytes.length >= 4) {
      const size = bytes.readInt32BE(0)
      if (size < leastBytes || size > frameBytesMax) return `a frame of ${size} bytes`
      neededBytes = size + 4
      if (bytes.length < neededBytes) break
      onFrame(bytes.subarray(4, neededBytes))
      bytes = bytes.subarray(neededBytes)
      neededBytes = 4
    }
    kept = bytes.length === 0 ? [] : [bytes]
    keptBytes = bytes.length
    return null
  }
}
