/**
 * A folder that goes with its scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Makes one among the system's temporary folders. */
export const make: Effect.Effect<string, Error, Scope.Scope> = Effect.acquireRelease(
  Effect.try({
    try: () => mkdtempSync(join(tmpdir(), "kafka-once-bench-")),
    catch: (cause) => new Error(`no temporary folder can be made: ${String(cause)}`)
  }),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)
