/**
 * The Java client's partitioning: murmur2 of the key, or one partition for a while without one.
 */

/**
 * Kafka's murmur2 (32 bits, seed 0x9747b28c) of some bytes, as a signed integer.
 *
 * Source: `org.apache.kafka.common.utils.Utils.murmur2`.
 */
export const murmur2 = (data: Uint8Array): number => {
  const { length } = data
  const m = 0x5bd1e995
  let h = 0x9747b28c ^ length
  const blocks = length >>> 2
  for (let i = 0; i < blocks; i++) {
    const at = i * 4
    let k = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    k = Math.imul(k, m)
    h = Math.imul(h, m) ^ k
  }
  const tail = blocks * 4
  const rest = length - tail
  if (rest >= 3) h ^= data[tail + 2]! << 16
  if (rest >= 2) h ^= data[tail + 1]! << 8
  if (rest >= 1) {
    h ^= data[tail]!
    h = Math.imul(h, m)
  }
  h ^= h >>> 13
  h = Math.imul(h, m)
  return h ^ (h >>> 15)
}

/**
 * The partition of a key among `count`.
 */
export const partitionOfKey = (key: Uint8Array, count: number): number =>
  (murmur2(key) & 0x7fffffff) % count

/**
 * How many bytes of records without a key stay on one partition before the next one is taken; the
 * Java client's default batch size.
 */
const stickyBytes = 16_384

/**
 * Chooses partitions for records without a key: one partition per topic until it has taken
 * `stickyBytes`, then the next.
 */
export const makeSticky = (
  firstOf: (count: number) => number
): (topic: string, count: number, bytes: number) => number => {
  const current = new Map<string, { partition: number; bytes: number }>()
  return (topic, count, bytes) => {
    let sticky = current.get(topic)
    if (sticky === undefined || sticky.partition >= count) {
      sticky = { partition: firstOf(count), bytes: 0 }
      current.set(topic, sticky)
    } else if (sticky.bytes >= stickyBytes) {
      sticky.partition = (sticky.partition + 1) % count
      sticky.bytes = 0
    }
    sticky.bytes += bytes
    return sticky.partition
  }
}
