import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
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
 * <p>Argument: the bootstrap servers. Standard input: a line for each run, as PipelineContender.ts
 * writes it: group, input, output, number of records, records a batch. Standard output: "ready",
 * and for each run "done" with seconds on the clock and of processors, and the largest memory.
 */
public final class PipelineLoop {
  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in));
    System.out.println("ready");
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] words = line.split(" ");
      run(arguments[0], words[0], words[1], words[2], Long.parseLong(words[3]), words[4]);
    }
  }

  private static void run(
      String servers, String group, String input, String output, long records, String batch)
      throws Exception {
    var read = new ByteArrayDeserializer();
    var write = new ByteArraySerializer();
    Map<String, Object> consuming = Map.of(
        "bootstrap.servers", servers,
        "group.id", group,
        "isolation.level", "read_committed",
        "enable.auto.commit", "false",
        "auto.offset.reset", "earliest",
        "max.poll.records", batch);
    Map<String, Object> producing = Map.of(
        "bootstrap.servers", servers,
        "transactional.id", group,
        "linger.ms", "5");
    try (var consumer = new KafkaConsumer<>(consuming, read, read);
        var producer = new KafkaProducer<>(producing, write, write)) {
      producer.initTransactions();
      consumer.subscribe(List.of(input));
      long startedAt = 0;
      long startedCpu = 0;
      long left = records;
      while (left > 0) {
        var polled = consumer.poll(Duration.ofMillis(500));
        if (polled.isEmpty()) continue;
        if (startedAt == 0) {
          startedAt = System.nanoTime();
          startedCpu = cpuNanos();
        }
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
        left -= polled.count();
      }
      double seconds = (System.nanoTime() - startedAt) / 1e9;
      double cpuSeconds = (cpuNanos() - startedCpu) / 1e9;
      System.out.println("done " + seconds + " " + cpuSeconds + " " + largestBytes());
    }
  }

  private static long cpuNanos() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }

  /** As the kernel has seen it; -1 where there is no /proc. */
  private static long largestBytes() throws Exception {
    Path status = Path.of("/proc/self/status");
    if (!Files.exists(status)) return -1;
    for (String line : Files.readAllLines(status)) {
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
    }
    return -1;
  }
}
