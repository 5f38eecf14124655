/** What every producer that contends is: a way to open one, and to commit a transaction. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Job } from "./ProducerJob.ts"
import type * as Records from "./Records.ts"

/** One transaction: begun, sent, committed. */
export type Transact = Effect.Effect<void, unknown>

/** Opens a producer, and answers with its transaction. */
export type Client = (
  transactionalId: string,
  job: Job,
  records: Records.Records
) => Effect.Effect<Transact, unknown, Scope.Scope>
