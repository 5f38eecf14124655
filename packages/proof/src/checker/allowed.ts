/**
 * What looks like an anomaly and is none, with the reason. The exam's valid worlds contain each.
 */
export const allowed = [
  {
    what: "write cycles (G0): two transactions lie in opposite orders in two partitions",
    reason: "Kafka orders records within a partition only"
  },
  {
    what: "records of other producers between those of a transaction",
    reason: "a transaction is atomic to readers, not contiguous in the log"
  },
  {
    what: "fractured reads: one partition shows a transaction and another does not yet",
    reason: "end markers are written partition by partition, and Kafka has no snapshot"
  },
  {
    what: "polls that skip or repeat after assign, revoke, lost or seek",
    reason: "the position was moved by something other than reading"
  },
  {
    what: "offsets without a record",
    reason: "end markers take an offset, and readers under read_committed skip aborted records"
  },
  {
    what: "ABORT markers without records before them",
    reason: "a transaction may register a partition and write nothing to it"
  },
  {
    what: "records of an aborted transaction in the raw log, acknowledged or not",
    reason: "only end markers decide; the log keeps what it was given"
  },
  {
    what: "a committed transaction whose commit was never answered",
    reason: "an unknown outcome may be either, and what is visible is promoted to committed"
  },
  {
    what: "operations without an end in a process that was killed",
    reason: "nobody was there to be answered"
  },
  {
    what: "an ABORT marker of a newer epoch right after the records of an older one",
    reason: "InitProducerId fences with the next epoch, and ends the open transaction with it"
  }
] as const
