/** Asks an address whether a Kafka broker answers there, before any client is sent to it. */
import * as Effect from "effect/Effect"
import { FaultProxyError, NotKafka, TargetUnreachable } from "../FaultProxyError.ts"
import * as ProtocolClient from "./protocol/protocolClient.ts"
import type { ProtocolError } from "./protocol/protocolError.ts"

export interface Target {
  readonly host: string
  readonly port: number
  readonly tls?: ClientTls | undefined
}

export type ClientTls = NonNullable<ProtocolClient.Options["tls"]>

/**
 * Sends one ApiVersions of version 0, which every broker since 0.10 answers before any
 * authentication. Takes five seconds at most.
 */
export const check = ({ host, port, tls }: Target): Effect.Effect<void, FaultProxyError> => {
  const fail = (reason: FaultProxyError["reason"]) =>
    new FaultProxyError({ operation: "connectTo", reason })
  const unreachable = (error: ProtocolError) =>
    isRefused(error) || tls === undefined
      ? fail(new TargetUnreachable({ host, port, problem: problemOf(error) }))
      : notKafka(problemOf(error))
  const notKafka = (problem: string) =>
    fail(new NotKafka({ host, port, tls: tls !== undefined, problem }))
  return Effect.scoped(
    Effect.gen(function*() {
      const client = yield* ProtocolClient.connect(host, port, {
        clientId: "kafka-once-fault-proxy",
        requestTimeout: "5 seconds",
        tls
      }).pipe(Effect.mapError(unreachable))
      const answer = yield* client.request("ApiVersions", 0, {}).pipe(
        Effect.mapError((error) => notKafka(problemOf(error)))
      )
      if (answer.errorCode !== 0 || !answer.apiKeys.some(({ apiKey }) => apiKey === 0)) {
        return yield* notKafka("its answer to ApiVersions offers no Produce")
      }
    })
  )
}

const problemOf = ({ reason }: ProtocolError): string =>
  reason._tag === "NotConnected" ? reason.problem : reason.message

/** Otherwise somebody is there, and it is the handshake that failed. */
const isRefused = (error: ProtocolError): boolean =>
  /ECONNREFUSED|EHOSTUNREACH|ENOTFOUND|no connection in time/.test(problemOf(error))
