/**
 * One partition of one topic.
 *
 * @since 0.1.0
 */

/**
 * One partition of one topic; partitions count from 0.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/**
 * A text that is equal for equal partitions, to key a `Map` with.
 *
 * @category accessors
 * @since 0.1.0
 */
export const toKey = (topicPartition: TopicPartition): string =>
  // A topic name has no slash, so two different partitions never share a key.
  `${topicPartition.topic}/${topicPartition.partition}`
