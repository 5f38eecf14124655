/**
 * All scenarios, in the order of their numbers.
 *
 * @since 0.1.0
 */
import type { Scenario } from "./Scenario.ts"
import { abortWhilePending } from "./scenarios/AbortWhilePending.ts"
import { closeWhilePending } from "./scenarios/CloseWhilePending.ts"
import { concurrentSends } from "./scenarios/ConcurrentSends.ts"
import { hiddenRefusal } from "./scenarios/HiddenRefusal.ts"
import { lostCommitAnswer } from "./scenarios/LostCommitAnswer.ts"
import { lostSendAnswers } from "./scenarios/LostSendAnswers.ts"

/**
 * The scenarios of a producer.
 *
 * @category models
 * @since 0.1.0
 */
export const all: ReadonlyArray<Scenario> = [
  lostSendAnswers,
  abortWhilePending,
  closeWhilePending,
  lostCommitAnswer,
  hiddenRefusal,
  concurrentSends
]
