import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.Base64;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints a topic to its end of now as Kafka's own Java client sees it, a line per record, lastly
 * "end". Standard input: the consumer's properties.
 */
public final class CommittedRecords {
  public static void main(String[] topic) throws Exception {
    var properties = new Properties();
    properties.load(System.in);
    var bytes = new ByteArrayDeserializer();
    try (var consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
      var partitions = consumer.partitionsFor(topic[0]).stream()
          .map(found -> new TopicPartition(found.topic(), found.partition())).toList();
      if (partitions.isEmpty()) throw new IllegalStateException("there is no topic " + topic[0]);
      var ends = consumer.endOffsets(partitions);
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
        for (var record : consumer.poll(Duration.ofMillis(100))) {
          var partition = new TopicPartition(record.topic(), record.partition());
          if (record.offset() < ends.get(partition)) System.out.println(line(record));
        }
      }
      System.out.println("end");
    } catch (Exception error) { // Java's source launcher hides one that another thread has made.
      System.err.println("failed: " + error);
      System.exit(1);
    }
  }

  private static String line(ConsumerRecord<byte[], byte[]> record) {
    var line = record.partition() + "\t" + record.offset() + "\t" + record.timestamp()
        + base64(record.key()) + base64(record.value());
    for (var header : record.headers())
      line += base64(header.key().getBytes(UTF_8)) + base64(header.value());
    return line;
  }

  private static String base64(byte[] value) {
    return "\t" + (value == null ? "-" : Base64.getEncoder().encodeToString(value));
  }
}
