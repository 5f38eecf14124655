/**
 * Measures one run inside a contender's process, the same for each.
 */
import { type Done, type Word } from "./PipelineJob.ts"

/** What a contender tells while it works. */
export interface PipelineWatch {
  /** It was given records; only the first time counts. */
  readonly given: () => void
  /** So many more records are committed by a transaction; answers whether these were the last. */
  readonly committed: (records: number) => boolean
  readonly done: () => Done
}

/** Memory is told each time that so many more are committed. */
const stepRecords = 1_000_000

/** In which Node tells the largest memory. */
const kilobyte = 1_024

/** Makes the watch of one run. */
export const make = (records: number, tell: (word: Word) => void): PipelineWatch => {
  let startedAt: number | null = null
  let startedCpu = process.cpuUsage()
  let endedCpu = startedCpu
  let largestBytes = 0
  let count = 0
  let transactions = 0
  let endedAt = 0
  return {
    given: () => {
      if (startedAt !== null) return
      startedAt = performance.now()
      startedCpu = process.cpuUsage()
    },
    committed: (more) => {
      const steps = Math.floor(count / stepRecords)
      count += more
      transactions++
      if (Math.floor(count / stepRecords) > steps) {
        tell({ _tag: "At", records: count, residentBytes: process.memoryUsage.rss() })
      }
      endedAt = performance.now()
      if (count < records) return false
      // The pipeline still goes on: with what it has fetched ahead, and all that it keeps.
      endedCpu = process.cpuUsage(startedCpu)
      largestBytes = process.resourceUsage().maxRSS * kilobyte
      tellLive(tell)
      return true
    },
    done: () => ({
      seconds: (endedAt - (startedAt ?? endedAt)) / 1_000,
      cpuSeconds: (endedCpu.system + endedCpu.user) / 1e6,
      largestBytes,
      transactions
    })
  }
}

/** Only with Node's flag `--expose-gc`. */
const tellLive = (tell: (word: Word) => void): void => {
  const { gc } = globalThis
  if (gc === undefined) return
  // What the first one finds to be finalised only the second one frees.
  gc()
  gc()
  const { external, heapUsed } = process.memoryUsage()
  tell({ _tag: "Live", live: { heapBytes: heapUsed, externalBytes: external } })
}
