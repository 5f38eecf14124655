/** What an operator does who removes the members of a classic group. */
import * as Effect from "effect/Effect"
import { accept, type At, bounded, coordinator, unanswered } from "./brokerRequests.ts"

/** Removes every member. Answers how many there were; fails where one was not removed. */
export const evictAll = (at: At, groupId: string) =>
  bounded(
    at,
    `the eviction of the members of ${groupId}`,
    Effect.scoped(Effect.gen(function*() {
      const client = yield* coordinator(at, groupId, "group")
      const { groups: [group] } = yield* client.request("DescribeGroups", 5, { groups: [groupId] })
        .pipe(unanswered("DescribeGroups"))
      yield* accept("DescribeGroups", group?.errorCode)
      const members = (group?.members ?? []).map(({ memberId }) => ({ memberId }))
      const left = yield* client.request("LeaveGroup", 5, { groupId, members }).pipe(
        unanswered("LeaveGroup")
      )
      for (const { errorCode } of [left, ...left.members ?? []]) {
        yield* accept("LeaveGroup", errorCode)
      }
      return members.length
    }))
  )
