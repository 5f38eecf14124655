/**
 * Watches the sizes of the frames that arrive. The client waits for any size that it reads, and
 * would keep all that comes until then.
 */

/**
 * A response larger than this is taken for another protocol: "HTTP" read as a size is 1.2 GB, and a
 * TLS alert 352 MB.
 */
const largestFrameBytes = 256 * 1024 * 1024

/** Every response has a correlation id. */
const smallestFrameBytes = 4

const sizeBytes = 4

/** Takes what arrives; answers `false` from the first size on that no Kafka broker sends. */
export const watch = (): (chunk: Uint8Array) => boolean => {
  let missing = 0
  let size = 0
  let sizeRead = 0
  return (chunk) => {
    let at = 0
    while (at < chunk.length) {
      if (missing > 0) {
        const taken = Math.min(missing, chunk.length - at)
        missing -= taken
        at += taken
        continue
      }
      size = (size << 8) | (chunk[at++] ?? 0)
      if (++sizeRead < sizeBytes) continue
      if (size < smallestFrameBytes || size > largestFrameBytes) return false
      missing = size
      size = 0
      sizeRead = 0
    }
    return true
  }
}
