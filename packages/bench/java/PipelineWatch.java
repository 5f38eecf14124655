/**
 * Measures one run of a pipeline, from the first record that it was given to the last commit's
 * answer, the same for each contender in Java.
 */
final class PipelineWatch {
  private final long records;
  private long startedAt;
  private double startedCpu;
  private long count;
  private long transactions;
  private double seconds;
  private double cpuSeconds;
  private long largestBytes;

  PipelineWatch(long records) {
    this.records = records;
  }

  /** It was given records; only the first time counts. */
  void given() {
    if (startedAt != 0) return;
    startedAt = System.nanoTime();
    startedCpu = ProcessFigures.cpuSeconds();
  }

  /** So many more records are committed by a transaction; answers whether these were the last. */
  boolean committed(long more) {
    count += more;
    transactions++;
    if (count < records) return false;
    seconds = (System.nanoTime() - startedAt) / 1e9;
    cpuSeconds = ProcessFigures.cpuSeconds() - startedCpu;
    largestBytes = ProcessFigures.largestBytes();
    return true;
  }

  /** Said when the clients are closed: another contender's turn begins with it. */
  void tell() {
    System.out.println(
        "done " + seconds + " " + cpuSeconds + " " + largestBytes + " " + transactions);
  }
}
