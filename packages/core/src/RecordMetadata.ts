/**
 * Where the broker has put a record.
 *
 * @since 0.1.0
 */

/**
 * Where the broker has put a record.
 *
 * **Details**
 *
 * *Units and bounds*: `offset` is `-1n` when the broker says that it has the record already
 * (DUPLICATE_SEQUENCE after a lost answer) without saying where. `timestamp` is in milliseconds
 * since 1970: the record's own, or the broker's where the topic asks for the append time.
 *
 * **Gotchas**
 *
 * The offset is the record's, whether the transaction commits or aborts. Readers under
 * `read_committed` see the record only after a commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordMetadata {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly timestamp: bigint
}
