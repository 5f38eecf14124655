import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The plain transactional loop of the Java client, with its defaults, by one producer or by several
 * at once, each on a thread of its own.
 *
 * <p>Argument: the bootstrap servers. Standard input: "run TOPIC PREFIX PRODUCERS LANES
 * TRANSACTIONS RECORDS CALLS", answered by "done SECONDS CPU-SECONDS MEDIAN-MILLIS 90TH-MILLIS
 * RESIDENT-BYTES LARGEST-BYTES", or "count TOPIC", answered by "counted RECORDS". A producer with
 * lanes is so many producers that are used in turn. Every `send` is a call of its own here.
 */
public final class ProducerLoop {
  private static final int valueBytes = 100;
  private static final int keptThreads = 1_024;

  /** The producers of a prefix, for its next run. */
  private static final Map<String, List<Loop>> opened = new HashMap<>();

  public static void main(String[] arguments) {
    ExecutorService threads = Executors.newFixedThreadPool(keptThreads);
    Jobs.serve(words -> {
      if (words[0].equals("run")) {
        run(arguments[0], words, threads);
      } else {
        count(arguments[0], words[1]);
      }
    });
  }

  /** One producer, or several that it uses in turn, and what it sends in each transaction. */
  private record Loop(
      List<KafkaProducer<byte[], byte[]>> lanes, List<ProducerRecord<byte[], byte[]>> records) {
    double[] run(int transactions) {
      double[] millis = new double[transactions];
      for (int nth = 0; nth < transactions; nth++) {
        var producer = lanes.get(nth % lanes.size());
        long startedAt = System.nanoTime();
        producer.beginTransaction();
        for (var record : records) producer.send(record);
        producer.commitTransaction();
        millis[nth] = (System.nanoTime() - startedAt) / 1e6;
      }
      return millis;
    }
  }

  private static void run(String servers, String[] words, ExecutorService threads)
      throws Exception {
    String topic = words[1];
    String prefix = words[2];
    int producers = Integer.parseInt(words[3]);
    int lanes = Integer.parseInt(words[4]);
    int transactions = Integer.parseInt(words[5]);
    int records = Integer.parseInt(words[6]);
    if (!opened.containsKey(prefix)) {
      var loops = new ArrayList<Loop>();
      for (int index = 0; index < producers; index++) {
        var own = new ArrayList<KafkaProducer<byte[], byte[]>>();
        for (int lane = 0; lane < lanes; lane++) {
          own.add(open(servers, prefix + "-" + index + "-" + lane));
        }
        loops.add(new Loop(own, records(topic, index * records, records)));
      }
      opened.put(prefix, loops);
    }
    var loops = new ArrayList<Callable<double[]>>();
    for (var loop : opened.get(prefix)) loops.add(() -> loop.run(transactions));
    double startedCpu = ProcessFigures.cpuSeconds();
    long startedAt = System.nanoTime();
    var results = threads.invokeAll(loops);
    double seconds = (System.nanoTime() - startedAt) / 1e9;
    double cpuSeconds = ProcessFigures.cpuSeconds() - startedCpu;
    double[] millis = new double[producers * transactions];
    for (int index = 0; index < producers; index++) {
      System.arraycopy(results.get(index).get(), 0, millis, index * transactions, transactions);
    }
    Arrays.sort(millis);
    System.out.println("done " + seconds + " " + cpuSeconds + " " + quantile(millis, 0.5) + " "
        + quantile(millis, 0.9) + " " + ProcessFigures.residentBytes() + " "
        + ProcessFigures.largestBytes());
  }

  private static KafkaProducer<byte[], byte[]> open(String servers, String transactionalId) {
    var bytes = new ByteArraySerializer();
    Map<String, Object> properties =
        Map.of("bootstrap.servers", servers, "transactional.id", transactionalId);
    var producer = new KafkaProducer<>(properties, bytes, bytes);
    producer.initTransactions();
    return producer;
  }

  /** The same records as the other contenders write. */
  private static List<ProducerRecord<byte[], byte[]>> records(String topic, int from, int count) {
    var header = new RecordHeader("source", "bench".getBytes(UTF_8));
    var records = new ArrayList<ProducerRecord<byte[], byte[]>>();
    for (int index = from; index < from + count; index++) {
      var value = new StringBuilder(valueBytes).append(index).append(' ');
      while (value.length() < valueBytes) value.append("0123456789");
      value.setLength(valueBytes);
      records.add(new ProducerRecord<>(
          topic,
          null,
          ("key-" + index).getBytes(UTF_8),
          value.toString().getBytes(UTF_8),
          List.of(header)));
    }
    return records;
  }

  private static double quantile(double[] sorted, double part) {
    return sorted[Math.max(0, (int) Math.ceil(sorted.length * part) - 1)];
  }

  private static void count(String servers, String topic) {
    long[] records = new long[1];
    CommittedTopic.forEach(servers, topic, record -> records[0]++);
    System.out.println("counted " + records[0]);
  }
}
