import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import kafka.tools.StorageTool;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.utils.Time;

/**
 * One Kafka node in this process, and a door for its owner.
 *
 * <p>Started as {@code BrokerLauncher <settings.json>}. It formats the data directory if that is
 * new, starts the node, waits until a transaction coordinator answers, and prints one line on
 * standard output: {@code READY <control port>}. With no {@code server} in the settings it starts
 * no node, and only opens the door to the cluster that {@code admin} names.
 *
 * <p>The control port takes one JSON line per connection and answers with one JSON line. It saves
 * a virtual machine per topic, and it works on every kind of listener.
 *
 * <p>Standard input is held open by the owner. When it ends the owner is gone, whatever way it
 * went, so this process removes the directory and halts: no broker is ever left behind.
 */
public final class BrokerLauncher {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long ADMIN_LIMIT_MILLIS = 30_000;
  private static final long VISIBLE_LIMIT_MILLIS = 10_000;
  private static final long POLL_MILLIS = 10;
  private static final int REMOVAL_ATTEMPTS = 50;

  private BrokerLauncher() {}

  public static void main(String[] arguments) throws Exception {
    JsonNode settings = JSON.readTree(Files.readString(Path.of(arguments[0])));
    haltWithOwner(settings.path("ownerDirectory").asText(""));
    try {
      run(settings);
    } catch (Throwable error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
  }

  private static void haltWithOwner(String directory) {
    Thread watch = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {}
      } catch (Throwable gone) {
        // An input that cannot be read is an owner that cannot be asked.
      }
      try {
        removeForGood(directory);
      } finally {
        Runtime.getRuntime().halt(0);
      }
    }, "owner-watch");
    watch.setDaemon(true);
    watch.start();
  }

  /** The nodes of a cluster remove the same directory, and write to it until they halt. */
  private static void removeForGood(String directory) {
    if (directory.isEmpty()) {
      return;
    }
    Path path = Path.of(directory);
    for (int attempt = 0; attempt < REMOVAL_ATTEMPTS && Files.exists(path); attempt++) {
      remove(path);
      try {
        Thread.sleep(POLL_MILLIS);
      } catch (InterruptedException impossible) {
        return;
      }
    }
  }

  private static void remove(Path directory) {
    try (Stream<Path> paths = Files.walk(directory)) {
      paths.sorted(Comparator.reverseOrder()).forEach(path -> {
        try {
          Files.deleteIfExists(path);
        } catch (IOException busy) {
          // The next attempt, or the system's own cleaning of temporary files, takes it.
        }
      });
    } catch (IOException | RuntimeException gone) {
      // Another hand removed it first.
    }
  }

  private static void run(JsonNode settings) throws Exception {
    boolean isNew = settings.has("server") && startNode(settings);
    Properties properties = properties(settings.get("admin"));
    try (Admin admin = Admin.create(properties)) {
      if (isNew) {
        awaitNodes(admin, settings);
      }
      awaitCoordinators(admin);
      serve(admin, settings.get("token").asText());
    }
  }

  /** Answers whether the node is new. */
  private static boolean startNode(JsonNode settings) throws Exception {
    Properties properties = properties(settings.get("server"));
    Path file = Path.of(settings.get("directory").asText(), "server.properties");
    try (var out = Files.newBufferedWriter(file)) {
      properties.store(out, null);
    }
    Path formatted = Path.of(properties.getProperty("log.dirs"), "meta.properties");
    boolean isNew = !Files.exists(formatted);
    if (isNew) {
      List<String> format = new ArrayList<>(List.of("format", "--config", file.toString()));
      settings.get("format").forEach(argument -> format.add(argument.asText()));
      int code = StorageTool.execute(format.toArray(String[]::new), System.err);
      if (code != 0) {
        Runtime.getRuntime().halt(2);
      }
    }
    KafkaRaftServer server = new KafkaRaftServer(new KafkaConfig(properties), Time.SYSTEM);
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown, "broker-shutdown"));
    server.startup();
    return isNew;
  }

  /**
   * Kafka makes its own topics when the first client asks for a coordinator. Of nodes that are not
   * there yet no replica would be in sync, and the first node would lead them all.
   */
  private static void awaitNodes(Admin admin, JsonNode settings) throws Exception {
    String voters = settings.get("server").get("controller.quorum.voters").asText();
    int nodes = voters.split(",").length;
    awaitUntil(
        () -> admin.describeCluster().nodes().get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS).size()
            == nodes,
        ADMIN_LIMIT_MILLIS,
        "not all of " + nodes + " nodes are there");
  }

  private static Properties properties(JsonNode object) {
    Properties properties = new Properties();
    object.properties().forEach(field ->
        properties.setProperty(field.getKey(), field.getValue().asText()));
    return properties;
  }

  /** A port that is open is no broker that works: both coordinators have to answer. */
  private static void awaitCoordinators(Admin admin) throws Exception {
    var transactions = admin.describeTransactions(List.of("kafka-once-ready"));
    var groups = admin.listConsumerGroupOffsets("kafka-once-ready");
    try {
      transactions.all().get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS);
    } catch (ExecutionException error) {
      if (!(error.getCause() instanceof TransactionalIdNotFoundException)) {
        throw error;
      }
    }
    groups.partitionsToOffsetAndMetadata().get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS);
  }

  private static void serve(Admin admin, String token) throws IOException {
    try (ServerSocket door = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      System.out.println("READY " + door.getLocalPort());
      System.out.flush();
      while (true) {
        Socket socket = door.accept();
        Thread thread = new Thread(() -> converse(admin, token, socket), "control");
        thread.setDaemon(true);
        thread.start();
      }
    }
  }

  private static void converse(Admin admin, String token, Socket socket) {
    try (socket) {
      socket.setSoTimeout((int) ADMIN_LIMIT_MILLIS);
      Reader input = new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8);
      JsonNode request = JSON.readTree(new BufferedReader(input).readLine());
      ObjectNode answer = JSON.createObjectNode();
      try {
        if (!token.equals(request.path("token").asText())) {
          throw new SecurityException("wrong token");
        }
        perform(admin, request);
      } catch (Exception error) {
        Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
        answer.put("error", cause.getClass().getSimpleName());
        answer.put("message", String.valueOf(cause.getMessage()));
      }
      byte[] line = (JSON.writeValueAsString(answer) + "\n").getBytes(StandardCharsets.UTF_8);
      socket.getOutputStream().write(line);
    } catch (Exception gone) {
      // The caller hung up or sent no JSON: there is nobody to tell.
    }
  }

  private static void perform(Admin admin, JsonNode request) throws Exception {
    String command = request.path("command").asText();
    switch (command) {
      case "createTopic" -> createTopic(admin, request);
      case "addAcl" -> addAcl(admin, acl(request));
      case "removeAcl" -> removeAcl(admin, acl(request));
      default -> throw new IllegalArgumentException("unknown command " + command);
    }
  }

  private static void createTopic(Admin admin, JsonNode request) throws Exception {
    String name = request.get("name").asText();
    Map<String, String> config = new HashMap<>();
    request.get("config").properties()
        .forEach(field -> config.put(field.getKey(), field.getValue().asText()));
    Optional<Integer> partitions = Optional.of(request.get("partitions").asInt());
    NewTopic topic = new NewTopic(name, partitions, Optional.empty()).configs(config);
    admin.createTopics(List.of(topic)).all().get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS);
    // The controller has it; the broker's own view follows a moment later.
    awaitVisible(() -> hasLeaders(admin, name), "topic " + name);
  }

  private static boolean hasLeaders(Admin admin, String name) throws Exception {
    try {
      return admin.describeTopics(List.of(name)).allTopicNames()
          .get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS).get(name).partitions().stream()
          .allMatch(partition -> partition.leader() != null && !partition.leader().isEmpty());
    } catch (ExecutionException error) {
      if (error.getCause() instanceof UnknownTopicOrPartitionException) {
        return false;
      }
      throw error;
    }
  }

  private static AclBinding acl(JsonNode request) {
    return new AclBinding(
        new ResourcePattern(
            ResourceType.fromString(request.get("resourceType").asText()),
            request.get("resource").asText(),
            PatternType.fromString(request.get("pattern").asText())),
        new AccessControlEntry(
            request.get("principal").asText(),
            "*",
            AclOperation.fromString(request.get("operation").asText()),
            AclPermissionType.fromString(request.get("permission").asText())));
  }

  private static void addAcl(Admin admin, AclBinding binding) throws Exception {
    admin.createAcls(List.of(binding)).all().get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS);
    awaitVisible(() -> isListed(admin, binding), binding.toString());
  }

  private static void removeAcl(Admin admin, AclBinding binding) throws Exception {
    admin.deleteAcls(List.of(binding.toFilter())).all()
        .get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS);
    awaitVisible(() -> !isListed(admin, binding), "removal of " + binding);
  }

  private static boolean isListed(Admin admin, AclBinding binding) throws Exception {
    return !admin.describeAcls(binding.toFilter()).values()
        .get(ADMIN_LIMIT_MILLIS, TimeUnit.MILLISECONDS).isEmpty();
  }

  private interface Check {
    boolean holds() throws Exception;
  }

  private static void awaitVisible(Check check, String what) throws Exception {
    awaitUntil(check, VISIBLE_LIMIT_MILLIS, what + " was accepted, but is not visible yet");
  }

  private static void awaitUntil(Check check, long limitMillis, String otherwise)
      throws Exception {
    long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(limitMillis);
    while (!check.holds()) {
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException(otherwise);
      }
      Thread.sleep(POLL_MILLIS);
    }
  }
}
