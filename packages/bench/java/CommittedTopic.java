import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A topic as a reader under read_committed sees it. */
final class CommittedTopic {
  /** Hands over each record up to the ends that the partitions have now. */
  static void forEach(
      String servers, String topic, Consumer<ConsumerRecord<byte[], byte[]>> action) {
    Map<String, Object> properties = Map.of(
        "bootstrap.servers", servers,
        "isolation.level", "read_committed",
        "enable.auto.commit", "false",
        "max.poll.records", "50000");
    var bytes = new ByteArrayDeserializer();
    try (var consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
      List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
          .map(found -> new TopicPartition(topic, found.partition())).toList();
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
        consumer.poll(Duration.ofMillis(100)).forEach(action);
      }
    }
  }

  private CommittedTopic() {}
}
