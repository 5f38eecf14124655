/**
 * A certificate authority, and the certificates that it signs for a broker and for a client, made
 * by the JDK's `keytool`.
 */
import * as Effect from "effect/Effect"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"
import type { KeyStores } from "./brokerSettings.ts"
import * as CertificateRequest from "./certificateRequest.ts"
import * as ChildProcess from "./childProcess.ts"
import * as Files from "./files.ts"
import type { Java } from "./java.ts"

const days = "30"

export interface Certificates extends KeyStores {
  /** The authority's certificate as PEM: what a client has to trust. */
  readonly ca: string
  /** The client's own, as PEM. */
  readonly client: { readonly cert: string; readonly key: string }
}

/**
 * The broker's is valid for 127.0.0.1 and localhost; the client's subject is `CN=client`. The
 * authority's key stays in the broker's directory.
 */
export const make = Effect.fnUntraced(
  function*(java: Java, directory: string, password: string) {
    const path = (name: string) => join(directory, name)
    const keytool = (...args: ReadonlyArray<string>) =>
      runKeytool(java, directory, [...args, "-storetype", "PKCS12", "-storepass", password])
    const key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", days]
    yield* Effect.all([
      keytool(
        ...key,
        "-alias",
        "ca",
        "-dname",
        "CN=kafka-once CA",
        "-ext",
        "bc:critical=ca:true",
        "-ext",
        "ku=keyCertSign",
        "-keystore",
        "ca.p12"
      ),
      keytool(...key, "-alias", "broker", "-dname", "CN=localhost", "-keystore", "broker.p12")
    ], { concurrency: 2 })
    yield* Effect.all([
      keytool("-exportcert", "-rfc", "-alias", "ca", "-keystore", "ca.p12", "-file", "ca.pem"),
      keytool("-certreq", "-alias", "broker", "-keystore", "broker.p12", "-file", "broker.csr")
    ], { concurrency: 2 })
    const request = CertificateRequest.make("client")
    yield* Files.attempt(
      "writing a certificate request",
      () => writeFile(path("client.csr"), request.request)
    )
    const sign = ["-gencert", "-rfc", "-alias", "ca", "-keystore", "ca.p12", "-validity", days]
    const signed = (name: string, ...more: ReadonlyArray<string>) =>
      keytool(...sign, "-infile", `${name}.csr`, "-outfile", `${name}.pem`, ...more)
    yield* Effect.all([
      signed("broker", "-ext", "san=ip:127.0.0.1,dns:localhost"),
      signed("client")
    ], { concurrency: 2 })
    const trust = ["-importcert", "-noprompt", "-alias", "ca", "-file", "ca.pem", "-keystore"]
    // The broker's store needs the authority before the answer that the authority signed.
    yield* Effect.all([
      keytool(...trust, "trust.p12"),
      keytool(...trust, "broker.p12").pipe(Effect.andThen(
        keytool(
          "-importcert",
          "-noprompt",
          "-alias",
          "broker",
          "-keystore",
          "broker.p12",
          "-file",
          "broker.pem"
        )
      ))
    ], { concurrency: 2 })
    const pem = (name: string) =>
      Files.attempt("reading a certificate", () => readFile(path(`${name}.pem`), "utf8"))
    return {
      ca: yield* pem("ca"),
      client: { cert: yield* pem("client"), key: request.key },
      keyStore: path("broker.p12"),
      trustStore: path("trust.p12"),
      password
    } satisfies Certificates
  }
)

const runKeytool = Effect.fnUntraced(
  function*(java: Java, directory: string, args: ReadonlyArray<string>) {
    const command = join(java.home, "bin", "keytool")
    const finished = yield* ChildProcess.run(command, args, { directory })
    if (finished.code !== 0) {
      const detail = finished.failure ?? `${finished.errors}${finished.output}`.slice(0, 1_000)
      return yield* EmbeddedKafkaError.make(
        new EmbeddedKafkaError.MachineFailed({ step: `keytool ${args[0]}`, detail })
      )
    }
  }
)
