/**
 * What happens, as it happens: a line for each event, and under them a bar where the output is a
 * terminal.
 */

const width = 40

/** Tells how far the job is. */
export interface Progress {
  /** So many more records are done. */
  readonly add: (count: number) => void
  readonly tell: (what: string) => void
}

/** Tells of `total` records on standard output. */
export const makeProgress = (total: number): Progress => {
  const { stdout } = process
  const startedAt = performance.now()
  let done = 0
  const bar = (): string => {
    const filled = Math.min(width, Math.round((done / total) * width))
    return `  ${"█".repeat(filled)}${"░".repeat(width - filled)} ${done} of ${total}`
  }
  // A bar stays on its line until something else is written there.
  const clear = stdout.isTTY ? "\r\u001B[K" : ""
  return {
    add: (count) => {
      done += count
      if (stdout.isTTY) stdout.write(`${clear}${bar()}`)
    },
    tell: (what) => {
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
      stdout.write(`${clear}${seconds.padStart(6)} s  ${what}\n`)
    }
  }
}
