/**
 * How the suites of security make a driver: its layer by the options that all drivers have.
 *
 * @since 0.1.0
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"

/**
 * The certificates of a client, as every driver takes them.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsOptions {
  readonly ca?: string | ReadonlyArray<string> | undefined
  readonly cert?: string | undefined
  readonly key?: Redacted.Redacted | undefined
  readonly serverName?: string | undefined
}

/**
 * A user and a password, as every driver takes them.
 *
 * @category models
 * @since 0.1.0
 */
export interface SaslPassword {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted
}

/**
 * A user's credentials, as every driver takes them.
 *
 * @category models
 * @since 0.1.0
 */
export type SaslOptions = SaslPassword | {
  readonly mechanism: "oauthbearer"
  readonly token: Effect.Effect<Redacted.Redacted, unknown>
}

/**
 * The options that the suites give.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly brokers: ReadonlyArray<string>
  readonly tls?: boolean | TlsOptions
  readonly sasl?: SaslOptions
  readonly insecure?: boolean
}

/**
 * Why a layer is not built.
 *
 * @category models
 * @since 0.1.0
 */
export interface LayerError {
  readonly _tag: string
  readonly message: string
  readonly reason: { readonly _tag: string; readonly option?: string }
}

/**
 * A driver, by its options.
 *
 * @category models
 * @since 0.1.0
 */
export type SecureDriver = (options: Options) => Layer.Layer<KafkaDriver, LayerError>
