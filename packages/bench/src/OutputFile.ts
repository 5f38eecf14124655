/**
 * Whether a file can be written at the end of a run, which may be an hour away.
 */
import { closeSync, existsSync, openSync, rmSync } from "node:fs"

/** What is wrong with the file that a flag names, in one line, or `null`. */
export const problemOf = (flag: string, file: string | null): string | null => {
  if (file === null) return null
  const existed = existsSync(file)
  try {
    // Only an attempt tells: the rights of a folder say nothing of a full or read-only disk, and a
    // folder of that name cannot be opened. What the file holds stays until there is something new.
    closeSync(openSync(file, "a"))
    if (!existed) rmSync(file)
    return null
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return `${flag}: "${file}" cannot be written (${why}).`
  }
}
