import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Fills the input of a pipeline, and says what is committed in its output: the records and the sum
 * of their numbers, so that one that is lost is not made up for by one that is doubled.
 *
 * <p>Argument: the bootstrap servers. Standard input: "fill TOPIC PARTITIONS RECORDS", answered by
 * "filled", or "sum TOPIC", answered by "sum RECORDS NUMBERS".
 */
public final class PipelineTopics {
  private static final int valueBytes = 100;

  public static void main(String[] arguments) {
    Jobs.serve(words -> {
      if (words[0].equals("fill")) {
        fill(arguments[0], words[1], Integer.parseInt(words[2]), Long.parseLong(words[3]));
      } else {
        sum(arguments[0], words[1]);
      }
    });
  }

  private static void fill(String servers, String topic, int partitions, long records) {
    Map<String, Object> properties = Map.of(
        "bootstrap.servers", servers,
        "batch.size", "125000",
        "linger.ms", "20");
    var bytes = new ByteArraySerializer();
    try (var producer = new KafkaProducer<>(properties, bytes, bytes)) {
      for (long number = 0; number < records; number++) {
        var value = new StringBuilder(valueBytes).append(number).append(' ');
        while (value.length() < valueBytes) value.append("0123456789");
        value.setLength(valueBytes);
        producer.send(new ProducerRecord<>(
            topic,
            (int) (number % partitions),
            ("key-" + number).getBytes(UTF_8),
            value.toString().getBytes(UTF_8)));
      }
    }
    System.out.println("filled");
  }

  private static void sum(String servers, String topic) {
    long[] found = new long[2];
    CommittedTopic.forEach(servers, topic, record -> {
      found[0]++;
      found[1] += numberOf(record.value());
    });
    System.out.println("sum " + found[0] + " " + found[1]);
  }

  private static long numberOf(byte[] value) {
    long number = 0;
    for (int i = 0; value[i] != ' '; i++) number = number * 10 + (value[i] - '0');
    return number;
  }
}
