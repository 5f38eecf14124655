/**
 * How a failed call of the client is told to the library.
 */
import { DriverError, Failure, type Request } from "@kafka-once/core/KafkaDriver"
import { AuthenticationError, NetworkError, ProtocolError } from "@platformatic/kafka"
import { ApiVersionsRefused } from "./apiVersions.ts"

/** The port's error for a code that a broker answered. */
export const answered = (request: Request, code: number, detail?: string): DriverError =>
  new DriverError({
    request,
    failure: Failure.Answered({ code }),
    detail: detail ?? `Refused with code ${code}`
  })

/** A request of which nothing was written. */
export const notSent = (request: Request, detail: string): DriverError =>
  new DriverError({ request, failure: Failure.NotSent(), detail })

/** A call that this driver refuses. */
export const refused = (request: Request, detail: string): DriverError =>
  new DriverError({ request, failure: Failure.Refused(), detail })

/** Whether another broker may do better: nothing answered here. */
export const isSilence = ({ failure }: DriverError): boolean =>
  failure._tag === "NotSent" || failure._tag === "NoAnswer"

/** Whether the client says that the connection is at fault, and not what came over it. */
export const isOfNetwork = (error: unknown): boolean =>
  // The client's time-outs have the code of its network errors.
  error instanceof Error && "code" in error && error.code === NetworkError.code

const saslAuthenticationFailed = 58

/**
 * The protocol's code in an error of the client, which nests them: a network error around an
 * authentication error around a response with errors.
 */
export const codeIn = (error: unknown): number | null => {
  const chain = causesOf(error)
  for (const one of chain) {
    if (one instanceof ApiVersionsRefused) return one.code
    if (one instanceof ProtocolError && typeof one["apiCode"] === "number") return one["apiCode"]
  }
  // The client itself refused what the server proved: a bad nonce, too few iterations.
  return chain.at(-1) instanceof AuthenticationError ? saslAuthenticationFailed : null
}

/** An error with everything inside it, outermost first. The depth is bounded. */
export const causesOf = (error: unknown): ReadonlyArray<unknown> => {
  const found: Array<unknown> = [error]
  for (let at = 0; at < found.length && found.length < 32; at++) {
    const one = found[at]
    if (one instanceof AggregateError) found.push(...one.errors)
    if (one instanceof Error && one.cause !== undefined) found.push(one.cause)
  }
  return found
}
