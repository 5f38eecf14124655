import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedWriter;
import java.io.OutputStreamWriter;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints a topic from its beginning to its end as Kafka's own Java client sees it.
 *
 * <p>Arguments: the topic, and a limit in milliseconds. Standard input: the consumer's properties.
 * One line per record: partition, offset, timestamp, key, value and headers between tabs, bytes in
 * Base64, "-" for null. The end is the last stable offset at the start. The last line is "end".
 */
public final class CommittedRecords {
  public static void main(String[] arguments) {
    try {
      print(arguments[0], System.nanoTime() + Long.parseLong(arguments[1]) * 1_000_000);
    } catch (Exception error) {
      // Said here: Java's source launcher hides an exception that was made in another thread.
      System.err.println("failed: " + error);
      System.exit(1);
    }
  }

  private static void print(String topic, long deadline) throws Exception {
    Properties properties = new Properties();
    properties.load(System.in);
    var bytes = new ByteArrayDeserializer();
    var out = new BufferedWriter(new OutputStreamWriter(System.out), 1 << 16);
    try (var consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
      List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
          .map(found -> new TopicPartition(topic, found.partition())).toList();
      if (partitions.isEmpty()) throw new IllegalStateException("there is no topic " + topic);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
        if (System.nanoTime() > deadline) throw new IllegalStateException("not at the end in time");
        for (var record : consumer.poll(Duration.ofMillis(100))) {
          if (record.offset() >= ends.get(new TopicPartition(topic, record.partition()))) continue;
          String headers = StreamSupport.stream(record.headers().spliterator(), false)
              .map(header -> base64(header.key().getBytes(UTF_8)) + ":" + base64(header.value()))
              .collect(Collectors.joining(","));
          out.write(record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t"
              + base64(record.key()) + "\t" + base64(record.value()) + "\t" + headers + "\n");
        }
      }
      out.write("end\n");
      out.flush();
    }
  }

  private static String base64(byte[] value) {
    return value == null ? "-" : Base64.getEncoder().encodeToString(value);
  }
}
