import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** What this process has taken of processors and memory. */
final class ProcessFigures {
  /** Of all its threads, those that collect garbage and compile among them. */
  static double cpuSeconds() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime() / 1e9;
  }

  static long residentBytes() {
    return memoryOf("VmRSS:");
  }

  /** The most since it began. */
  static long largestBytes() {
    return memoryOf("VmHWM:");
  }

  /** As the kernel has seen it; -1 where there is no /proc. */
  private static long memoryOf(String field) {
    Path status = Path.of("/proc/self/status");
    if (!Files.exists(status)) return -1;
    try {
      for (String line : Files.readAllLines(status)) {
        if (line.startsWith(field)) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
      }
      return -1;
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  private ProcessFigures() {}
}
