/**
 * Whether the transactional id is still the session's that is to be replaced.
 *
 * InitProducerId with an expected id and epoch (KIP-360) is refused when another instance has taken
 * over. By itself that is not enough. It ends an open transaction before it looks at the epoch, so
 * that one that wakes late would abort its replacement's. It refuses, at version 1, a producer
 * whose own transaction the coordinator has ended. And the epoch before the last, by which a
 * repetition is known, is not in the coordinator's log: the next coordinator has forgotten it. So
 * the coordinator is asked first who it has, and in which state; and InitProducerId then names what
 * was found, so that whoever comes in between is not overtaken.
 */
import type { ProducerIdentity, Resumption } from "@kafka-once/core/KafkaDriver"

/** What the coordinator has. */
export interface Found extends ProducerIdentity {
  readonly state: string
}

/** The last epoch of a producer id. */
const lastEpoch = 32_766

/**
 * Whom InitProducerId is to expect, so that it is refused when another instance has taken over
 * meanwhile; `null` where one already has, and `"later"` where that is not to be said yet.
 */
export const expectedOf = (
  ours: Resumption,
  found: Found
): ProducerIdentity | "later" | null => {
  // The end of a transaction in the last epoch goes through one more, which is nobody's. When its
  // markers are written there may be a new producer id, and InitProducerId with that epoch is then
  // refused.
  if (found.epoch > lastEpoch && found.state.startsWith("Prepare")) return "later"
  if (found.producerId !== ours.producerId) return expectedAfterRotation(ours, found)
  switch (found.epoch - ours.epoch) {
    case 0:
      return ours
    case 1:
      return expectedOneLater(ours, found)
    case 2:
      return expectedTwoLater(ours, found)
    default:
      return null
  }
}

/**
 * An instance that took over has the next epoch only where the coordinator had nothing open. Who
 * ends a transaction also moves the epoch: a commit or an abort of version 2, and the coordinator's
 * timeout at any version.
 */
const expectedOneLater = (ours: Resumption, found: Found): ProducerIdentity | null => {
  if (found.state === "Ongoing") return null
  const isOfOurEnd = ours.leftOpen !== null && isAborted(found) ||
    ours.leftOpen === 2 && isCommitted(found)
  // An InitProducerId whose answer was lost is told from another instance's by the coordinator.
  return isOfOurEnd ? found : ours
}

/** An instance that took over from an open transaction has this epoch, too. */
const expectedTwoLater = (ours: Resumption, found: Found): ProducerIdentity | null => {
  // The answer to an InitProducerId that followed such an end was lost; or it was another's, which
  // the coordinator knows.
  if (ours.leftOpen !== null && found.state === "Empty") return { ...found, epoch: ours.epoch + 1 }
  // Kafka 4.0.0 adds 2 when it ends a transaction of version 2 by itself (KAFKA-19367).
  return ours.leftOpen === 2 && isAborted(found) ? found : null
}

/** When its epochs are used up the end of a transaction, or InitProducerId, makes a new id. */
const expectedAfterRotation = (ours: Resumption, found: Found): ProducerIdentity | null => {
  if (ours.epoch < lastEpoch || found.epoch > 0 || found.state === "Ongoing") return null
  const isOfOurEnd = ours.leftOpen === 2 && (isAborted(found) || isCommitted(found))
  return isOfOurEnd ? found : ours
}

const isAborted = ({ state }: Found): boolean =>
  state === "PrepareAbort" || state === "CompleteAbort"

const isCommitted = ({ state }: Found): boolean =>
  state === "PrepareCommit" || state === "CompleteCommit"
