/**
 * A progress bar on a terminal; nothing where the output is none.
 */

const width = 40

/** Makes a function that draws how many of `total` days are done. */
export const makeProgress = (total: number): (done: number) => void => {
  const { stdout } = process
  if (!stdout.isTTY) return () => {}
  return (done) => {
    const filled = Math.round((done / total) * width)
    const bar = "█".repeat(filled) + "░".repeat(width - filled)
    stdout.write(`\r  ${bar} ${done}/${total} days${done === total ? "\n" : ""}`)
  }
}
