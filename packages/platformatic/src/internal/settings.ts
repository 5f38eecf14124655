/**
 * The options of the driver with their defaults filled in, in the units of the client.
 */
import type * as Redacted from "effect/Redacted"
import type { Address } from "./address.ts"
import type { TokenProvider } from "./tokenProvider.ts"

export interface TlsSettings {
  readonly ca: string | ReadonlyArray<string> | undefined
  readonly cert: string | undefined
  readonly key: Redacted.Redacted<string> | undefined
  readonly passphrase: Redacted.Redacted<string> | undefined
  readonly serverName: string | undefined
}

export type SaslSettings =
  | {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
    readonly username: string
    readonly password: Redacted.Redacted<string>
  }
  | { readonly mechanism: "oauthbearer"; readonly tokens: TokenProvider }

export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

export interface Settings {
  readonly brokers: ReadonlyArray<Address>
  readonly clientId: string
  readonly tls: TlsSettings | null
  readonly sasl: SaslSettings | null
  readonly connectionTimeoutMillis: number
  readonly authenticationTimeoutMillis: number
  readonly reauthenticationThresholdMillis: number
  readonly requestTimeoutMillis: number
  readonly metadataMaxAgeMillis: number
  readonly connectionsPerBroker: number
  readonly compression: Compression
}
