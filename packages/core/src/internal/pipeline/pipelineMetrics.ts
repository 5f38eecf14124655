import * as Metric from "effect/Metric"

/**
 * The metrics of one pipeline, with its group as an attribute. Those of its consumer and of its
 * transactions are theirs.
 */
export const metricsOf = (groupId: string) => {
  // Given to each metric as it is made: `Metric.withAttributes` merges them anew at every update.
  const attributes = { "messaging.consumer.group.name": groupId }
  const counter = (name: string, description: string) =>
    Metric.counter(name, { description, attributes, incremental: true })
  return {
    processedRecords: counter(
      "kafka_once.pipeline.processed",
      "Records that `process` has succeeded on, whether their transaction committed or not"
    ),
    committedRecords: counter(
      "kafka_once.pipeline.committed",
      "Records whose offsets are committed with their results"
    ),
    deadLetters: counter(
      "kafka_once.pipeline.dead_letters",
      "Records that were sent to the dead-letter topic"
    ),
    failures: counter("kafka_once.pipeline.failures", "Transactions that failed, for any reason"),
    batchDuration: Metric.histogram("kafka_once.pipeline.batch.duration", {
      description: "From the begin of a batch's transaction to its end, in milliseconds",
      attributes,
      boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 16 })
    })
  }
}

/**
 * What {@link metricsOf} makes.
 */
export type PipelineMetrics = ReturnType<typeof metricsOf>
