import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * The lines that a contender is told what to do by: "ready" is said first, and each job is done
 * before the next one.
 */
final class Jobs {
  interface Handler {
    void run(String[] words) throws Exception;
  }

  /** Never answers: the process ends with standard input, as when whoever started it is gone. */
  static void serve(Handler handler) {
    var lines = new LinkedBlockingQueue<String>();
    var reader = new Thread(() -> read(lines), "jobs");
    reader.setDaemon(true);
    reader.start();
    System.out.println("ready");
    try {
      while (true) handler.run(lines.take().split(" "));
    } catch (Exception failure) {
      failure.printStackTrace();
      // Clients leave threads behind, with which the process would go on and answer nobody.
      Runtime.getRuntime().halt(1);
    }
  }

  // On a thread of its own: a run may wait for a broker that has gone, too.
  private static void read(LinkedBlockingQueue<String> lines) {
    try (var input = new BufferedReader(new InputStreamReader(System.in))) {
      for (String line = input.readLine(); line != null; line = input.readLine()) lines.add(line);
    } catch (IOException failure) {
      failure.printStackTrace();
    }
    Runtime.getRuntime().halt(0);
  }

  private Jobs() {}
}
