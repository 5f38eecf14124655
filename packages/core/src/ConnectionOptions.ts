/**
 * How to reach the brokers: the options that every driver has, and what must hold of them.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as BoundedDuration from "./internal/boundedDuration.ts"
import * as Tokens from "./internal/tokenProvider.ts"
import type { Recovery } from "./KafkaError.ts"

/**
 * How the servers are authenticated, and this client to them.
 *
 * **Details**
 *
 * *Shape*: texts in PEM form. Without `ca` the authorities that Node trusts are used. `serverName`
 * is the name that the certificate must have, the broker's own host name when left out. An unknown
 * certificate is never accepted.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsOptions {
  readonly ca?: string | ReadonlyArray<string> | undefined
  readonly cert?: string | undefined
  readonly key?: Redacted.Redacted | undefined
  readonly passphrase?: Redacted.Redacted | undefined
  readonly serverName?: string | undefined
}

/**
 * A user name and password, and how they are proved.
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
 * A token of OAuth 2, asked for before each connection is authenticated, and again before its
 * session ends.
 *
 * **Details**
 *
 * *Units and bounds*: the effect is run for each connection, so it should keep a token that is
 * still good (`Effect.cachedWithTTL`). It may take `authenticationTimeout`.
 *
 * *Errors*: when it fails, nothing was sent, and the library tries again until its deadline. The
 * text of its error is in the library's, so it must not hold the token.
 *
 * @category models
 * @since 0.1.0
 */
export interface SaslToken {
  readonly mechanism: "oauthbearer"
  readonly token: Effect.Effect<Redacted.Redacted, unknown>
}

/**
 * How this client proves who it is.
 *
 * @category models
 * @since 0.1.0
 */
export type SaslOptions = SaslPassword | SaslToken

/**
 * How to reach the brokers.
 *
 * **Details**
 *
 * *Shape*
 * - `brokers`: bootstrap addresses, `host:port` or `[IPv6]:port`; others are learnt from them.
 * - `clientId`: names this program in the broker's logs and quotas.
 * - `tls`: `true`, or options, to connect with TLS.
 * - `insecure`: allows SASL PLAIN or OAUTHBEARER without TLS, which send the password or the
 *   token as it is.
 *
 * *Units and bounds*: `connectionTimeout` (1 second) is for TCP and TLS of one connection,
 * `authenticationTimeout` (3 seconds) for its SASL exchange, and for an effect that gives a token.
 * `requestTimeout` (3 seconds) is for the requests that belong to no producer; a producer's own
 * come with the producer's options.
 * `reauthenticationThreshold` (10 seconds) is how long before a SASL session ends it is renewed.
 * `metadataMaxAge` (5 minutes) is how long leaders are remembered while nothing fails.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionOptions {
  readonly brokers: ReadonlyArray<string>
  readonly clientId?: string | undefined
  readonly tls?: boolean | TlsOptions | undefined
  readonly sasl?: SaslOptions | undefined
  readonly insecure?: boolean | undefined
  readonly connectionTimeout?: Duration.Input | undefined
  readonly authenticationTimeout?: Duration.Input | undefined
  readonly reauthenticationThreshold?: Duration.Input | undefined
  readonly requestTimeout?: Duration.Input | undefined
  readonly metadataMaxAge?: Duration.Input | undefined
}

/**
 * An option that cannot be used as it is.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends Schema.TaggedError<InvalidOption>()("InvalidOption", {
  option: Schema.String,
  problem: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The option "${this.option}" ${this.problem}.`
  }
}

/**
 * What the checks need of Node, which this package does not import: a driver gives the functions of
 * `node:crypto`, `node:net` and `node:tls` that have these names.
 *
 * @category models
 * @since 0.1.0
 */
export interface Platform {
  readonly X509Certificate: new(pem: string) => unknown
  readonly createPrivateKey: (key: {
    readonly key: string
    readonly passphrase: string | undefined
  }) => unknown
  readonly createSecureContext: (options: {
    readonly cert: string | undefined
    readonly key: string | undefined
    readonly passphrase: string | undefined
  }) => unknown
  readonly isIPv6: (text: string) => boolean
}

/**
 * The address of a broker; an IPv6 host is without its brackets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Address {
  readonly host: string
  readonly port: number
}

/**
 * A user's effect that gives tokens, as a client asks for one: before each authentication.
 *
 * **Details**
 *
 * *Shape*: `take` rejects with an error whose name is {@link tokenUnavailable}; nothing was sent
 * then. `newest` is the last token that was given, which is taken out of texts; empty before the
 * first.
 *
 * @category models
 * @since 0.1.0
 */
export type TokenProvider = Tokens.TokenProvider

/**
 * The name of the error that a {@link TokenProvider} rejects with.
 *
 * @category models
 * @since 0.1.0
 */
export const tokenUnavailable = Tokens.unavailable

/**
 * The options with their defaults filled in, in milliseconds, as clients take them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly brokers: ReadonlyArray<Address>
  readonly clientId: string
  readonly tls: TlsOptions | null
  readonly sasl:
    | SaslPassword
    | { readonly mechanism: "oauthbearer"; readonly tokens: TokenProvider }
    | null
  readonly connectionTimeoutMillis: number
  readonly authenticationTimeoutMillis: number
  readonly reauthenticationThresholdMillis: number
  readonly requestTimeoutMillis: number
  readonly metadataMaxAgeMillis: number
}

/**
 * Applies the defaults and checks what was given.
 *
 * **Details**
 *
 * *Errors*: `InvalidOption` names the option and what is wrong with it. Nothing is connected.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = Effect.fnUntraced(function*(
  options: ConnectionOptions,
  platform: Platform
): Effect.fn.Return<Settings, InvalidOption, Scope.Scope> {
  const problem = problemOf(options, platform)
  if (problem !== null) return yield* problem
  const { sasl } = options
  const authenticationTimeoutMillis = millisOf(options.authenticationTimeout, "3 seconds")
  return {
    brokers: options.brokers.flatMap((broker) => parseAddress(broker, platform) ?? []),
    clientId: options.clientId ?? "kafka-once",
    tls: tlsOf(options),
    sasl: sasl === undefined
      ? null
      : sasl.mechanism === "oauthbearer"
      ? {
        mechanism: sasl.mechanism,
        tokens: yield* Tokens.make(sasl.token, authenticationTimeoutMillis)
      }
      : sasl,
    connectionTimeoutMillis: millisOf(options.connectionTimeout, "1 second"),
    authenticationTimeoutMillis,
    reauthenticationThresholdMillis: millisOf(options.reauthenticationThreshold, "10 seconds"),
    requestTimeoutMillis: millisOf(options.requestTimeout, "3 seconds"),
    metadataMaxAgeMillis: millisOf(options.metadataMaxAge, "5 minutes")
  }
})

// Nothing else gets through to the client, such as an option that turns the checks of TLS off.
const tlsOf = ({ tls }: ConnectionOptions): TlsOptions | null => {
  if (tls === undefined || tls === false) return null
  const given: TlsOptions = tls === true ? {} : tls
  const { ca, cert, key, passphrase, serverName } = given
  return { ca, cert, key, passphrase, serverName }
}

const millisOf = (given: Duration.Input | undefined, otherwise: Duration.Input): number =>
  Duration.toMillis(given ?? otherwise)

const addressPattern = /^(?:\[([^[\]\s]+)\]|([^:\s/@[\]]+)):(\d{1,5})$/

const parseAddress = (text: string, { isIPv6 }: Platform): Address | null => {
  const [, bracketed, name = bracketed, digits] = addressPattern.exec(text) ?? []
  const port = Number(digits)
  if (name === undefined || !(port >= 1 && port <= 65_535)) return null
  return bracketed !== undefined && !isIPv6(bracketed) ? null : { host: name, port }
}

const problemOf = (options: ConnectionOptions, platform: Platform): InvalidOption | null =>
  problemOfBrokers(options, platform) ?? problemOfSasl(options) ??
    problemOfTls(options, platform) ?? problemOfTimes(options)

const problemOfBrokers = (
  { brokers }: ConnectionOptions,
  platform: Platform
): InvalidOption | null => {
  // Options often come from JSON or from untyped code.
  if (!Array.isArray(brokers)) {
    return new InvalidOption({ option: "brokers", problem: 'must be an array of "host:port"' })
  }
  if (brokers.length === 0) return new InvalidOption({ option: "brokers", problem: "is empty" })
  for (const broker of brokers) {
    if (parseAddress(broker, platform) === null) {
      return new InvalidOption({
        option: "brokers",
        problem: `holds ${JSON.stringify(broker)}, which is neither "host:port" nor "[IPv6]:port"`
      })
    }
  }
  return null
}

const mechanisms: ReadonlyArray<string> = [
  "plain",
  "scram-sha-256",
  "scram-sha-512",
  "oauthbearer"
]

const problemOfSasl = ({ insecure, sasl, tls }: ConnectionOptions): InvalidOption | null => {
  if (sasl !== undefined && !mechanisms.includes(sasl.mechanism)) {
    return new InvalidOption({
      option: "sasl",
      problem: `has the mechanism ${JSON.stringify(sasl.mechanism)}; it must be one of ` +
        mechanisms.join(", ")
    })
  }
  if (sasl?.mechanism === "oauthbearer" && !Effect.isEffect(sasl.token)) {
    return new InvalidOption({ option: "sasl", problem: "has a `token` that is no Effect" })
  }
  const isReadable = sasl?.mechanism === "plain" || sasl?.mechanism === "oauthbearer"
  const isPlainText = tls === undefined || tls === false
  return isReadable && isPlainText && insecure !== true
    ? new InvalidOption({
      option: "sasl",
      problem: `is ${sasl.mechanism.toUpperCase()} without TLS, which sends the ${
        sasl.mechanism === "plain" ? "password" : "token"
      } as it is; set \`tls\`, use SCRAM, or allow it with \`insecure: true\``
    })
    : null
}

/**
 * What is wrong with the certificates and the key, before anything is connected: a client would
 * report it at each connection, as a failure of that connection.
 */
const problemOfTls = (options: ConnectionOptions, platform: Platform): InvalidOption | null => {
  const { ca, cert, key: secret, passphrase: phrase } = tlsOf(options) ?? {}
  const key = secret === undefined ? undefined : Redacted.value(secret)
  const passphrase = phrase === undefined ? undefined : Redacted.value(phrase)
  const isCertificate = (pem: string) => isRead(() => new platform.X509Certificate(pem))
  const problem = (option: string, problem: string) => new InvalidOption({ option, problem })
  if ((typeof ca === "string" ? [ca] : ca ?? []).some((one) => !isCertificate(one))) {
    return problem("tls.ca", notPem)
  }
  if (cert !== undefined && !isCertificate(cert)) return problem("tls.cert", notPem)
  if (key !== undefined && !isRead(() => platform.createPrivateKey({ key, passphrase }))) {
    return problem("tls.key", notKey)
  }
  if (cert !== undefined && key === undefined) {
    return problem("tls.key", "is missing, without which `tls.cert` proves nothing")
  }
  if (key !== undefined && cert === undefined) {
    return problem("tls.cert", "is missing, to which `tls.key` belongs")
  }
  return isRead(() => platform.createSecureContext({ cert, key, passphrase }))
    ? null
    : problem("tls.key", "is not the private key of the certificate in `tls.cert`")
}

const notPem =
  "cannot be read; it must be a certificate in PEM form: a text, not the path of a file"

const notKey =
  "cannot be read; it must be a private key in PEM form, with its `passphrase` if it is encrypted"

/** The message of what is thrown is left out: it is OpenSSL's, and says less. */
const isRead = (read: () => unknown): boolean => {
  try {
    read()
    return true
  } catch {
    return false
  }
}

const times = [
  "connectionTimeout",
  "authenticationTimeout",
  "reauthenticationThreshold",
  "requestTimeout",
  "metadataMaxAge"
] as const

const problemOfTimes = (options: ConnectionOptions): InvalidOption | null => {
  for (const option of times) {
    const given = options[option]
    if (given === undefined) continue
    const checked = BoundedDuration.check(given)
    if (Result.isFailure(checked)) {
      return new InvalidOption({
        option,
        problem: `is ${String(given)}; it ${checked.failure}`
      })
    }
  }
  return null
}
