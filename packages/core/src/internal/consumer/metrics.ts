import * as Metric from "effect/Metric"

/**
 * The metrics of one member of a group, with the group as an attribute, by OpenTelemetry's
 * messaging conventions where these have a name.
 */
export const metricsOf = (groupId: string) => {
  // Given to each metric as it is made: `Metric.withAttributes` merges them anew at every update.
  const attributes = { "messaging.consumer.group.name": groupId }
  const counter = (name: string, description: string) =>
    Metric.counter(name, { description, attributes, incremental: true })
  const gauge = (name: string, description: string) =>
    Metric.gauge(name, { description, attributes })
  return {
    consumedRecords: counter(
      "messaging.client.consumed.messages",
      "Records that were handed to the program, those that are read again included"
    ),
    assigned: gauge("kafka_once.consumer.partitions", "Partitions that this member owns"),
    rebalances: counter("kafka_once.consumer.rebalances", "Assignments, first ones included"),
    lost: counter(
      "kafka_once.consumer.partitions.lost",
      "Partitions that another member had before they could be let go"
    ),
    sessions: counter("kafka_once.consumer.sessions", "Sessions in the group that were opened"),
    unreachable: gauge("kafka_once.consumer.unreachable", "1 while brokers do not answer")
  }
}

/**
 * What {@link metricsOf} makes.
 */
export type ConsumerMetrics = ReturnType<typeof metricsOf>
