/**
 * What a broker speaks, and which version of the transaction protocol its cluster has agreed on.
 */
import { apiVersionsV3, apiVersionsV4, type Connection, type Reader } from "@platformatic/kafka"

export interface Offered {
  /** From a request's key to the oldest and the newest version of it. */
  readonly versions: ReadonlyMap<number, readonly [oldest: number, newest: number]>
  /** Goes up with every change of the cluster's features; -1 where the broker has none. */
  readonly featuresEpoch: bigint
  /** The level of the feature `transaction.version`. */
  readonly transactionVersion: number
}

export const key = 18

const unsupportedVersion = 35

/** What the broker offers, or the code with which it has refused to say so. */
type Answer = ReturnType<typeof apiVersionsV4.parseResponse> | number

/** The broker has refused to tell what it speaks. */
export class ApiVersionsRefused extends Error {
  readonly code: number
  constructor(code: number) {
    super(`ApiVersions was refused with code ${code}`)
    this.code = code
  }
}

const softwareName = "kafka-once"
const softwareVersion = "0.1.0"

/** Asks with the newest version, and with an older one where the broker does not know it. */
export const ask = (
  connection: Connection,
  done: (error: unknown, offered: Offered | null) => void
): void =>
  send(connection, 4, (error, answer) => {
    if (answer === unsupportedVersion) {
      send(connection, 3, (error, answer) => tell(error, answer, done))
    } else tell(error, answer, done)
  })

const tell = (
  error: unknown,
  answer: Answer | undefined,
  done: (error: unknown, offered: Offered | null) => void
): void => {
  if (answer === undefined) return done(error, null)
  if (typeof answer === "number") return done(new ApiVersionsRefused(answer), null)
  done(null, offeredIn(answer))
}

const send = (
  connection: Connection,
  version: 3 | 4,
  done: (error: unknown, answer: Answer | undefined) => void
): void => {
  const { createRequest, parseResponse } = version === 4 ? apiVersionsV4 : apiVersionsV3
  const read = (_id: number, _key: number, _version: number, reader: Reader): Answer => {
    // A broker answers a version that it does not know in the format of version 0, and where it
    // refuses there is nothing after the code.
    const code = reader.peekInt16(0)
    return code === 0 ? parseResponse(0, key, version, reader) : code
  }
  // The header of the answer never has tagged fields, so that old clients can read it.
  connection.send(
    key,
    version,
    () => createRequest(softwareName, softwareVersion),
    read,
    true,
    false,
    done
  )
}

const offeredIn = (answer: Exclude<Answer, number>): Offered => ({
  versions: new Map(
    answer.apiKeys.map(({ apiKey, maxVersion, minVersion }) => [apiKey, [minVersion, maxVersion]])
  ),
  featuresEpoch: answer.finalizedFeaturesEpoch ?? -1n,
  transactionVersion:
    answer.finalizedFeatures?.find(({ name }) => name === "transaction.version")?.maxVersionLevel ??
      0
})
