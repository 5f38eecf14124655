import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Kafka's own client beside this library: a transactional producer that does one thing for each
 * line of its input, or a member of a group until its input ends.
 */
public final class Interoperability {
  public static void main(String[] args) throws Exception {
    var properties = new Properties();
    properties.put("bootstrap.servers", args[1]);
    switch (args[0]) {
      case "producer" -> produce(properties, args[2], args[3]);
      case "member" -> consume(properties, args[2], args[3], args[4]);
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  private static void produce(Properties properties, String id, String compression)
      throws Exception {
    properties.put("transactional.id", id);
    properties.put("compression.type", compression);
    properties.put("transaction.timeout.ms", "30000");
    KafkaProducer<String, String> producer = null;
    System.out.println("ready");
    var input = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = input.readLine()) != null; ) {
      var words = line.split(" ");
      try {
        switch (words[0]) {
          case "open" -> {
            if (producer != null) producer.close(Duration.ZERO);
            var text = new StringSerializer();
            producer = new KafkaProducer<>(properties, text, text);
            producer.initTransactions();
          }
          case "begin" -> producer.beginTransaction();
          case "send" -> {
            var partition = Integer.valueOf(words[2]);
            var record = new ProducerRecord<>(words[1], partition, "java", words[3]);
            record.headers().add("from", "java".getBytes());
            var sent = producer.send(record);
            producer.flush();
            sent.get();
          }
          case "commit" -> producer.commitTransaction();
          case "abort" -> producer.abortTransaction();
          default -> throw new IllegalArgumentException(line);
        }
        System.out.println("done");
      } catch (Exception error) {
        var cause = error instanceof ExecutionException ? error.getCause() : error;
        System.out.println("failed " + cause.getClass().getSimpleName());
      }
    }
    if (producer != null) producer.close(Duration.ZERO);
  }

  private static void consume(Properties properties, String group, String topic, String protocol)
      throws Exception {
    properties.put("group.id", group);
    properties.put("group.protocol", protocol);
    if (protocol.equals("classic")) {
      properties.put("partition.assignment.strategy", RangeAssignor.class.getName());
      properties.put("heartbeat.interval.ms", "300");
    }
    properties.put("isolation.level", "read_committed");
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    var text = new StringDeserializer();
    try (var consumer = new KafkaConsumer<>(properties, text, text)) {
      consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
          System.out.println("assigned " + partitions.size());
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
          System.out.println("revoked " + partitions.size());
        }
      });
      while (System.in.available() == 0) {
        var records = consumer.poll(Duration.ofMillis(100));
        if (records.isEmpty()) continue;
        try {
          consumer.commitSync();
          // Only what is committed counts: what is refused is read again by its next owner.
          for (var record : records) System.out.println("seen " + record.value());
        } catch (CommitFailedException | RebalanceInProgressException error) {
          System.out.println("refused " + records.count());
        }
      }
    }
    System.out.println("left");
  }
}
