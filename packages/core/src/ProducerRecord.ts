/**
 * A record as a user hands it to a transaction, before a partition is chosen.
 *
 * @since 0.1.0
 */

/**
 * A key, a value or a header value: text is sent as UTF-8.
 *
 * @category models
 * @since 0.1.0
 */
export type Bytes = Uint8Array | string

/**
 * Record headers, in one of two forms.
 *
 * **Details**
 *
 * *Shape*: an array of `[name, value]` pairs keeps the order and allows a name to repeat; an object
 * is shorter, and repeats a name through an array of values. Values are never `null`: Kafka allows
 * it, but the driver over kafkajs cannot send it, so the library refuses it for every driver with
 * the reason `InvalidRecord`.
 *
 * **Gotchas**
 *
 * kafkajs sends headers as a map. Repeats of one name keep their order; the order between different
 * names is kept only where a name does not repeat.
 *
 * @category models
 * @since 0.1.0
 */
export type Headers =
  | ReadonlyArray<readonly [name: string, value: Bytes]>
  | { readonly [name: string]: Bytes | ReadonlyArray<Bytes> }

/**
 * A record to send in a transaction.
 *
 * **Details**
 *
 * *Shape*: `key: null` or no key means that the library chooses the partition; `value: null` is a
 * tombstone. Without `partition` the library partitions once per record, as the Java client does:
 * murmur2 of the key's bytes, or for records without a key one partition for a while ("sticky").
 *
 * *Units and bounds*: `timestamp` is in milliseconds since 1970 and is the time of `send` when left
 * out; `partition` counts from 0.
 *
 * *Errors*: a record that cannot be sent as it is fails `send` with the reason `InvalidRecord`,
 * before anything is written.
 *
 * @see KIP-480 for the sticky partitioner
 * @category models
 * @since 0.1.0
 */
export interface ProducerRecord {
  readonly topic: string
  readonly key?: Bytes | null | undefined
  readonly value: Bytes | null
  readonly headers?: Headers | undefined
  readonly timestamp?: bigint | undefined
  readonly partition?: number | undefined
}
