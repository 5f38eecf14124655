/**
 * How fast the bytes of a frame pass under a rule that slows them.
 */
import * as Duration from "effect/Duration"
import type { Action } from "../FaultProxyRule.ts"
import type * as Lane from "./faultProxyLane.ts"

/** Bandwidth is given out every 20 ms, so that a slow line trickles and does not burst. */
const bandwidthGapMillis = 20

export const paceOf = (action: Action): Lane.Pace => {
  if (action.type === "bandwidth") {
    const bytes = Math.floor((action.bytesPerSecond * bandwidthGapMillis) / 1000)
    return bytes >= 1
      ? { pieceBytes: bytes, gapMillis: bandwidthGapMillis }
      : { pieceBytes: 1, gapMillis: 1000 / action.bytesPerSecond }
  }
  if (action.type !== "slice") return { pieceBytes: Infinity, gapMillis: 0 }
  return {
    pieceBytes: action.bytes,
    gapMillis: action.gap === undefined ? 0 : Duration.toMillis(action.gap)
  }
}
