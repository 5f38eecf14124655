/**
 * File operations with this package's typed error.
 */
import * as Effect from "effect/Effect"
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"

export const attempt = <A>(
  step: string,
  action: () => Promise<A>
): Effect.Effect<A, EmbeddedKafkaError.EmbeddedKafkaError> =>
  Effect.tryPromise({
    try: action,
    catch: (cause) =>
      EmbeddedKafkaError.make(
        new EmbeddedKafkaError.MachineFailed({
          step,
          detail: cause instanceof Error ? cause.message : String(cause)
        })
      )
  })

export const exists = (path: string): Effect.Effect<boolean> =>
  Effect.promise(() => stat(path).then(() => true, () => false))

/**
 * Writes a whole file or none: a reader, or the next run after a crash, never sees half of it.
 */
export const writeWhole = (
  path: string,
  content: string
): Effect.Effect<void, EmbeddedKafkaError.EmbeddedKafkaError> =>
  attempt(`writing ${path}`, () => {
    const partial = `${path}.${process.pid}.partial`
    return mkdir(dirname(path), { recursive: true })
      .then(() => writeFile(partial, content))
      .then(() => rename(partial, path))
  })

export const remove = (path: string): Effect.Effect<void, EmbeddedKafkaError.EmbeddedKafkaError> =>
  attempt(`removing ${path}`, () => rm(path, { recursive: true, force: true, maxRetries: 3 }))
