import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaClientSupplier;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Kafka Streams with exactly_once_v2 and, but for the commit interval, its defaults: one thread
 * that reads a topic and writes another.
 *
 * <p>Arguments: the bootstrap servers, and commit.interval.ms. Standard input and output: as those
 * of PipelineLoop; Streams commits by time, so that the records a batch are not heeded.
 */
public final class PipelineStreams {
  public static void main(String[] arguments) {
    Jobs.serve(words ->
        run(arguments[0], arguments[1], words[0], words[1], words[2], Long.parseLong(words[3])));
  }

  private static void run(
      String servers, String commitMillis, String group, String input, String output, long records)
      throws Exception {
    var watch = new PipelineWatch(records);
    var over = new CompletableFuture<Void>();
    Map<String, Object> properties = Map.of(
        "bootstrap.servers", servers,
        "application.id", group,
        "processing.guarantee", "exactly_once_v2",
        "commit.interval.ms", commitMillis);
    var config = new StreamsConfig(new HashMap<>(properties));
    try (var streams =
        new KafkaStreams(topology(input, output, watch), config, new Clients(watch, over))) {
      streams.setUncaughtExceptionHandler(failure -> {
        over.completeExceptionally(failure);
        return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
      });
      streams.start();
      over.get();
    }
    watch.tell();
  }

  // No store, and so no directory of state.
  private static Topology topology(String input, String output, PipelineWatch watch) {
    var bytes = Serdes.ByteArray();
    var builder = new StreamsBuilder();
    builder.stream(input, Consumed.with(bytes, bytes))
        .peek((key, value) -> watch.given())
        .to(output, Produced.with(bytes, bytes));
    return builder.build();
  }

  /** The clients that Streams makes by itself; its producer tells when a commit is answered. */
  private record Clients(PipelineWatch watch, CompletableFuture<Void> over)
      implements KafkaClientSupplier {
    @Override
    public Admin getAdmin(Map<String, Object> config) {
      return Admin.create(config);
    }

    @Override
    public Producer<byte[], byte[]> getProducer(Map<String, Object> config) {
      return new CountedProducer(config, watch, over);
    }

    @Override
    public Consumer<byte[], byte[]> getConsumer(Map<String, Object> config) {
      return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    @Override
    public Consumer<byte[], byte[]> getRestoreConsumer(Map<String, Object> config) {
      return getConsumer(config);
    }

    @Override
    public Consumer<byte[], byte[]> getGlobalConsumer(Map<String, Object> config) {
      return getConsumer(config);
    }
  }

  private static final class CountedProducer extends KafkaProducer<byte[], byte[]> {
    private final PipelineWatch watch;
    private final CompletableFuture<Void> over;
    private long sent;

    CountedProducer(
        Map<String, Object> config, PipelineWatch watch, CompletableFuture<Void> over) {
      super(config, new ByteArraySerializer(), new ByteArraySerializer());
      this.watch = watch;
      this.over = over;
    }

    @Override
    public Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> record, Callback callback) {
      sent++;
      return super.send(record, callback);
    }

    @Override
    public void commitTransaction() {
      super.commitTransaction();
      long committed = sent;
      sent = 0;
      if (watch.committed(committed)) over.complete(null);
    }

    @Override
    public void abortTransaction() {
      // What is aborted is sent again.
      sent = 0;
      super.abortTransaction();
    }
  }
}
