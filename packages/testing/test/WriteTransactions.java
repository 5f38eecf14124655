import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes to a topic of two partitions: a committed transaction, an aborted one, {@code bulk}
 * committed records of 100 bytes, and, in partition 1, one that stays open.
 */
public final class WriteTransactions {
  public static void main(String[] arguments) {
    String topic = arguments[1];
    try (var producer = producer(arguments[0], "writer")) {
      producer.initTransactions();
      producer.beginTransaction();
      var record = new ProducerRecord<>(topic, 0, 1_700_000_000_000L, bytes("key"), bytes("värde"));
      record.headers().add("trace", bytes("1")).add("trace", bytes("")).add("empty", null);
      producer.send(record);
      byte[] none = null;
      producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_001L, none, none));
      producer.commitTransaction();
      producer.beginTransaction();
      producer.send(new ProducerRecord<>(topic, 0, null, bytes("aborted")));
      producer.flush();
      producer.abortTransaction();
      producer.beginTransaction();
      for (int index = 0; index < Integer.parseInt(arguments[2]); index++) {
        producer.send(new ProducerRecord<>(topic, 0, bytes("bulk"), new byte[100]));
      }
      producer.commitTransaction();
    }
    var open = producer(arguments[0], "open");
    open.initTransactions();
    open.beginTransaction();
    open.send(new ProducerRecord<>(topic, 1, null, bytes("open")));
    open.flush();
    // No close: that would abort it.
    Runtime.getRuntime().halt(0);
  }

  private static KafkaProducer<byte[], byte[]> producer(String bootstrap, String transactionalId) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    properties.put("transactional.id", transactionalId);
    return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
