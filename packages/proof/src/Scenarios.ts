/**
 * All scenarios, in the order of their numbers.
 *
 * @since 0.1.0
 */
import type { Scenario } from "./Scenario.ts"
import { abortWhilePending } from "./scenarios/AbortWhilePending.ts"
import { closeWhilePending } from "./scenarios/CloseWhilePending.ts"
import { concurrentOffsets } from "./scenarios/ConcurrentOffsets.ts"
import { concurrentRegistrations } from "./scenarios/ConcurrentRegistrations.ts"
import { concurrentSends } from "./scenarios/ConcurrentSends.ts"
import { fewestRights } from "./scenarios/FewestRights.ts"
import { hiddenRefusal } from "./scenarios/HiddenRefusal.ts"
import { lateCommit } from "./scenarios/LateCommit.ts"
import { lostCommitAnswer } from "./scenarios/LostCommitAnswer.ts"
import { lostSendAnswers } from "./scenarios/LostSendAnswers.ts"
import { offsetsOfAStranger } from "./scenarios/OffsetsOfAStranger.ts"
import { restart } from "./scenarios/Restart.ts"
import { wrongPassword } from "./scenarios/WrongPassword.ts"

/**
 * What raw kafkajs does not get through.
 *
 * @category models
 * @since 0.1.0
 */
export const ofKafkaJs: ReadonlyArray<Scenario> = [
  lostSendAnswers,
  abortWhilePending,
  closeWhilePending,
  lostCommitAnswer,
  offsetsOfAStranger,
  hiddenRefusal,
  concurrentSends
]

/**
 * What raw `@platformatic/kafka` does not get through.
 *
 * @category models
 * @since 0.1.0
 */
export const ofPlatformatic: ReadonlyArray<Scenario> = [
  lateCommit,
  restart,
  concurrentRegistrations,
  concurrentOffsets,
  fewestRights,
  wrongPassword
]

/**
 * All scenarios of both.
 *
 * @category models
 * @since 0.1.0
 */
export const all: ReadonlyArray<Scenario> = [...ofKafkaJs, ...ofPlatformatic]
