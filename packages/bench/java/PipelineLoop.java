import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The plain loop of the Java client: poll, transform, send, sendOffsetsToTransaction, commit.
 *
 * <p>Argument: the bootstrap servers. Standard input: a line for each run, as PipelineJob.ts writes
 * it: group, input, output, number of records, records a batch. Standard output: "ready", and for
 * each run "done" with seconds on the clock and of processors, the largest memory, and the number
 * of transactions.
 */
public final class PipelineLoop {
  public static void main(String[] arguments) {
    Jobs.serve(words ->
        run(arguments[0], words[0], words[1], words[2], Long.parseLong(words[3]), words[4]));
  }

  private static void run(
      String servers, String group, String input, String output, long records, String batch) {
    var watch = new PipelineWatch(records);
    var read = new ByteArrayDeserializer();
    var write = new ByteArraySerializer();
    // A poll hands over what is left of one fetch: by default 8,000 records here, and so a whole
    // batch and a part of one in turn.
    Map<String, Object> consuming = Map.of(
        "bootstrap.servers", servers,
        "group.id", group,
        "isolation.level", "read_committed",
        "enable.auto.commit", "false",
        "auto.offset.reset", "earliest",
        "max.partition.fetch.bytes", "4194304",
        "max.poll.records", batch);
    Map<String, Object> producing = Map.of(
        "bootstrap.servers", servers,
        "transactional.id", group,
        "linger.ms", "5");
    try (var consumer = new KafkaConsumer<>(consuming, read, read);
        var producer = new KafkaProducer<>(producing, write, write)) {
      producer.initTransactions();
      consumer.subscribe(List.of(input));
      for (boolean over = false; !over;) {
        var polled = consumer.poll(Duration.ofMillis(500));
        if (polled.isEmpty()) continue;
        watch.given();
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        producer.beginTransaction();
        for (var record : polled) {
          producer.send(new ProducerRecord<>(output, record.key(), record.value()));
        }
        for (var partition : polled.partitions()) {
          var ofPartition = polled.records(partition);
          long last = ofPartition.get(ofPartition.size() - 1).offset();
          offsets.put(partition, new OffsetAndMetadata(last + 1));
        }
        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        producer.commitTransaction();
        over = watch.committed(polled.count());
      }
    }
    watch.tell();
  }
}
