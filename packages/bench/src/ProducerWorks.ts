/**
 * Which transactions the producers are measured by, who contends, and the goals.
 */
import type { Length } from "./Arguments.ts"
import { names } from "./ProducerContender.ts"
import { type Comparison, type Entry, entry, type Work } from "./ProducerWork.ts"

const { java, kafkajs, platformatic } = names

const compare = (
  by: Comparison["by"],
  of: string,
  to: string,
  is?: "at least" | "at most",
  value = 1
): Comparison => ({ by, of, to, goal: is === undefined ? null : { is, value } })

// Many short rounds: a disturbance spoils one of them, and the median does not see it.
const rounds = (length: Length) =>
  length === "short" ? { rounds: 5, warmUpRounds: 2 } : { rounds: 21, warmUpRounds: 5 }

/** Transactions of one record, one after the other. */
export const single = (length: Length): Work => ({
  work: "1 record, back to back",
  topic: "single",
  partitions: 1,
  job: {
    producers: 1,
    lanes: 1,
    transactions: length === "short" ? 15 : 50,
    records: 1,
    calls: "one"
  },
  entries: [
    entry("platformatic"),
    entry("java"),
    entry("kafkajs"),
    entry("kafkajs-scope"),
    entry("raw-kafkajs-quick"),
    entry("raw-platformatic-quick"),
    // Slow enough that a few tell; those that begin a turn are after a pause, and meet no markers.
    entry("raw-kafkajs", { transactions: 10 }),
    entry("raw-platformatic", { transactions: 2 })
  ],
  ...rounds(length),
  unit: "transactions/s",
  tells: ["times", "CPU"],
  comparisons: [
    compare("throughput", platformatic, java, "at least"),
    compare("90th percentile", platformatic, java, "at most"),
    compare("CPU", platformatic, names["raw-kafkajs-quick"], "at most"),
    ...[kafkajs, names["kafkajs-scope"]].flatMap((form) => [
      compare("throughput", form, names["raw-kafkajs"], "at least", 10),
      compare("throughput", form, names["raw-kafkajs-quick"], "at least", 0.95)
    ])
  ]
})

const twoLanes: Entry = {
  label: `${platformatic}, two lanes`,
  contender: "platformatic",
  job: { lanes: 2 }
}
const twoInTurn: Entry = {
  label: `${java}, two producers in turn`,
  contender: "java",
  job: { lanes: 2 }
}

/** The same over two transactional ids in turn. */
export const lanes = (length: Length): Work => ({
  ...single(length),
  work: "1 record, two lanes",
  topic: "lanes",
  entries: [twoLanes, twoInTurn, entry("java")],
  tells: ["times", "CPU"],
  comparisons: [
    compare("throughput", twoLanes.label, twoInTurn.label, "at least"),
    compare("throughput", twoLanes.label, java)
  ]
})

/** Transactions of 500 records, in one call and in 500 concurrent ones. */
export const batch = (length: Length, partitions: number): Work => {
  const each = (contender: "kafkajs" | "platformatic"): Entry => ({
    label: `${names[contender]}, 500 calls`,
    contender,
    job: { calls: "each" }
  })
  return {
    work: `500 records, ${partitions === 1 ? "1 partition" : `${partitions} partitions`}`,
    topic: `batch-${partitions}`,
    partitions,
    job: {
      producers: 1,
      lanes: 1,
      transactions: length === "short" ? 8 : 15,
      records: 500,
      calls: "one"
    },
    entries: [
      entry("platformatic"),
      each("platformatic"),
      entry("java"),
      entry("kafkajs"),
      each("kafkajs"),
      entry("raw-kafkajs-quick"),
      entry("raw-platformatic-quick")
    ],
    ...rounds(length),
    unit: "transactions/s",
    tells: ["CPU"],
    comparisons: [
      compare("throughput", kafkajs, names["raw-kafkajs-quick"], "at least", 0.95),
      compare("throughput", each("kafkajs").label, kafkajs, "at least", 0.7),
      compare("throughput", each("platformatic").label, platformatic, "at least", 0.7),
      compare("throughput", platformatic, java)
    ]
  }
}

/** Many transactional ids in one process, all at once. */
export const ids = (length: Length): Work => ({
  work: "1 record, 64 ids at once",
  topic: "ids",
  partitions: 8,
  job: {
    producers: 64,
    lanes: 1,
    transactions: length === "short" ? 10 : 30,
    records: 1,
    calls: "one"
  },
  entries: [
    entry("platformatic"),
    entry("java"),
    entry("raw-kafkajs-quick"),
    entry("raw-platformatic-quick")
  ],
  ...rounds(length),
  unit: "transactions/s",
  tells: ["times", "memory", "CPU"],
  comparisons: [
    compare("throughput", platformatic, java, "at least"),
    compare("CPU", platformatic, names["raw-kafkajs-quick"], "at most"),
    compare("memory", platformatic, java, "at most", 1 / 3)
  ]
})

/** As many ids as Java has no threads for. */
export const thousandIds = (length: Length): Work => ({
  ...ids(length),
  work: "1 record, 1,000 ids at once",
  topic: "thousand-ids",
  job: { producers: 1_000, lanes: 1, transactions: 3, records: 1, calls: "one" },
  entries: [entry("platformatic")],
  rounds: length === "short" ? 1 : 5,
  warmUpRounds: 1,
  comparisons: []
})

/** Transactions of 1,000 records of 100 bytes. */
export const volume = (length: Length): Work => ({
  work: "1,000 records of 100 bytes",
  topic: "volume",
  partitions: 1,
  job: {
    producers: 1,
    lanes: 1,
    transactions: length === "short" ? 10 : 40,
    records: 1_000,
    calls: "one"
  },
  entries: [
    entry("platformatic"),
    entry("java"),
    entry("kafkajs"),
    entry("raw-kafkajs-quick"),
    entry("raw-platformatic-quick")
  ],
  ...rounds(length),
  unit: "records/s",
  tells: ["times", "CPU", "memory"],
  comparisons: [
    compare("throughput", platformatic, java, "at least", 1.3),
    compare("CPU", platformatic, names["raw-kafkajs-quick"], "at most"),
    compare("CPU", kafkajs, names["raw-kafkajs-quick"])
  ]
})
