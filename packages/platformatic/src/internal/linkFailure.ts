/**
 * What a failure on a connection means: by how far the connection had come, and by what its socket
 * has told, of which the client's own errors only say that it has closed.
 */
import { tokenUnavailable } from "@kafka-once/core/ConnectionOptions"
import { DriverError, Failure, type Request } from "@kafka-once/core/KafkaDriver"
import type { Address } from "./address.ts"
import * as Detail from "./detail.ts"
import { causesOf, codeIn, isOfNetwork } from "./failure.ts"
import type { Settings } from "./settings.ts"

/** A connection, as far as its failures depend on it. */
export interface Progress {
  readonly settings: Settings
  readonly address: Address
  readonly phase: "beforeTcp" | "duringTls" | "authenticating" | "asking" | "open" | "closed"
  readonly notKafka: boolean
  /** What the socket has told last. */
  readonly socketError: unknown
}

/** A step of the opening took too long. */
export class TimeUp extends Error {}

/** A connection could not be opened. */
export const ofOpening = (progress: Progress, error: unknown): DriverError => {
  const { address, settings, socketError } = progress
  const failure = failureOfOpening(progress, error)
  const told = isOfNetwork(innermost(error)) ? socketError ?? error : error
  const detail = Detail.of(settings, address, told, failure._tag === "Answered")
  return new DriverError({ request: "Connect", failure, detail })
}

const failureOfOpening = (
  { notKafka, phase, socketError }: Progress,
  error: unknown
): Failure => {
  if (notKafka) return Failure.NotKafka()
  if (isUnavailable(error)) return Failure.NotSent()
  const code = codeIn(error)
  if (code !== null) return Failure.Answered({ code })
  switch (phase) {
    case "beforeTcp":
      return Failure.NotSent()
    case "duringTls":
      return Failure.TlsFailed()
    default:
      // In TLS 1.3 a server that wants a certificate says so when the client's handshake is done.
      if (isOfTls(socketError)) return Failure.TlsFailed()
      return isSilent(error) ? Failure.NoAnswer() : Failure.NotKafka()
  }
}

/** The user's effect gave no token. */
const isUnavailable = (error: unknown): boolean =>
  causesOf(error).some((one) => one instanceof Error && one.name === tokenUnavailable)

const isOfTls = (error: unknown): boolean =>
  causesOf(error).some((one) =>
    one instanceof Error && "code" in one && String(one.code).startsWith("ERR_SSL")
  )

const innermost = (error: unknown): unknown => causesOf(error).at(-1)

/** The time is over, or the connection is: as opposed to an answer that cannot be read. */
const isSilent = (error: unknown): boolean => {
  const one = innermost(error)
  // What the system says of a socket has a number.
  return isOfNetwork(one) || one instanceof TimeUp || (one instanceof Error && "errno" in one)
}

/** A request on an open connection failed; `written` says whether any of it may have gone out. */
export const ofRequest = (
  progress: Progress,
  request: Request,
  error: Error,
  written: boolean
): DriverError => {
  const failure = failureOfRequest(progress, error, written)
  return new DriverError({
    request,
    failure,
    // What the codec says of a request that it refuses can hold a record.
    detail: failure._tag === "Refused"
      ? "The client cannot encode the request"
      : Detail.of(progress.settings, progress.address, error, false)
  })
}

const failureOfRequest = ({ notKafka }: Progress, error: Error, written: boolean): Failure => {
  if (isOfNetwork(error)) {
    if (!written) return Failure.NotSent()
    return notKafka ? Failure.NotKafka() : Failure.NoAnswer()
  }
  return written ? Failure.NotKafka() : Failure.Refused()
}
