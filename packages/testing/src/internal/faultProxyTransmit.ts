/** What a rule can do to a frame in either direction. */
import * as Duration from "effect/Duration"
import type { OpenEntry } from "./faultProxyLog.ts"
import { paceOf } from "./faultProxyPace.ts"
import type { ActiveRule } from "./faultProxyRuleBook.ts"
import { type Direction, finish, laneOf, modeOf, type State } from "./faultProxyState.ts"

/** What can be done to a frame in either direction. */
export const transmit = (
  state: State,
  direction: Direction,
  frame: Buffer,
  active: ActiveRule,
  entry: OpenEntry,
  onSent: () => void
): void => {
  const lane = laneOf(state, direction)
  const { gates, later, rules } = state.shared
  const { action } = active.rule
  if (action.type === "release") {
    if (gates.release(action.gate) > 0) rules.fire(active, entry)
    return lane.write(frame, false, onSent)
  }
  const isRealistic = modeOf(state, active) === "realistic"
  if (action.type === "hold") {
    gates.hold(action.gate, keep(state, direction, frame, isRealistic, onSent))
    // Whoever waits for this runs within the call, and may release the gate there.
    return rules.fire(active, entry)
  }
  rules.fire(active, entry)
  switch (action.type) {
    case "delay":
      return later(
        keep(state, direction, frame, isRealistic, onSent),
        Duration.toMillis(action.duration)
      )
    case "truncate":
      lane.write(frame.subarray(0, action.bytes), true, onSent)
      return cutOff(state, direction)
    case "corrupt":
      return lane.write(corrupted(frame, action.offset, action.xor), false, onSent)
    default:
      return lane.pace(frame, paceOf(action), onSent)
  }
}

/** Takes a frame out of its lane, or stops the lane before it, until it is to be delivered. */
const keep = (
  state: State,
  direction: Direction,
  frame: Buffer,
  isRealistic: boolean,
  onSent: () => void
): () => void => {
  const lane = laneOf(state, direction)
  if (isRealistic) {
    const open = lane.barrier()
    lane.write(frame, false, onSent)
    return open
  }
  state.apart[direction] += 1
  return () => {
    state.apart[direction] -= 1
    lane.insert(frame, onSent)
    finish(state)
  }
}

const cutOff = ({ clientSide, down, up, upstream }: State, direction: Direction): void => {
  if (direction === "requests") {
    up.end()
    clientSide.reset()
  } else {
    down.end()
    upstream.destroy()
  }
}

const corrupted = (frame: Buffer, offset: number, xor: number): Buffer => {
  const copy = Buffer.from(frame)
  const at = offset < 0 ? copy.length + offset : offset
  if (at >= 0 && at < copy.length) copy[at]! ^= xor
  return copy
}
