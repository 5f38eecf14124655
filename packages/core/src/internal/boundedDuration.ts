import * as Duration from "effect/Duration"
import * as Result from "effect/Result"

// The protocol carries milliseconds as a signed 32-bit integer, and so does a timer of Node.
const maxMillis = 2_147_483_647

/**
 * A duration that a setting may have, or what is wrong with it, to follow the name of the setting.
 */
export const check = (
  value: Duration.Input,
  leastMillis = 1
): Result.Result<Duration.Duration, string> => {
  const duration = Duration.fromInput(value)
  const millis = duration._tag === "Some" ? Duration.toMillis(duration.value) : Number.NaN
  return duration._tag === "Some" && millis >= leastMillis && millis <= maxMillis
    ? Result.succeed(duration.value)
    : Result.fail(`must be a duration from ${leastMillis} ms to ${maxMillis} ms`)
}
