/**
 * Measures one run inside a contender's process, the same for each.
 */
import { type Done, type Word } from "./PipelineJob.ts"

/** What a contender tells while it works. */
export interface PipelineWatch {
  /** It was given records; only the first time counts. */
  readonly given: () => void
  /** So many more records are committed; answers whether these were the last. */
  readonly committed: (records: number) => boolean
  readonly done: () => Done
}

/** Memory is told each time that so many more are committed. */
const stepRecords = 1_000_000

/** Makes the watch of one run. */
export const make = (records: number, tell: (word: Word) => void): PipelineWatch => {
  let startedAt: number | null = null
  let startedCpu = process.cpuUsage()
  let count = 0
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
      if (Math.floor(count / stepRecords) > steps) {
        tell({ _tag: "At", records: count, residentBytes: process.memoryUsage.rss() })
      }
      endedAt = performance.now()
      return count >= records
    },
    done: () => {
      const { system, user } = process.cpuUsage(startedCpu)
      return {
        seconds: (endedAt - (startedAt ?? endedAt)) / 1_000,
        cpuSeconds: (system + user) / 1e6,
        // Node tells it in kilobytes.
        largestBytes: process.resourceUsage().maxRSS * 1_024
      }
    }
  }
}
