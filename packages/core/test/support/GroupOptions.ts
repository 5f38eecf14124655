import type { ConsumerSessionOptions } from "../../src/ConsumerDriver.ts"

/** What the tests of a group session ask for. */
export const options: ConsumerSessionOptions = {
  groupId: "group",
  groupProtocol: "classic",
  groupInstanceId: null,
  topics: ["orders"],
  isolation: "read_committed",
  sessionTimeoutMillis: 6_000,
  rebalanceTimeoutMillis: 10_000,
  heartbeatIntervalMillis: 1_000,
  requestTimeoutMillis: 3_000,
  maxFetchWaitMillis: 500,
  maxFetchBytes: 1_000,
  maxPartitionFetchBytes: 1_000,
  maxPrefetchRecords: 10,
  maxPrefetchBytes: 1_000
}

export const membership = { generationId: 1, memberId: "a", groupInstanceId: null }
export const partition = (number: number) => ({ topic: "orders", partition: number })
