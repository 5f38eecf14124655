import type { Settings } from "../src/internal/settings.ts"

/** The settings of a connection that a test opens by itself. */
export const settings: Settings = {
  brokers: [],
  clientId: "link-test",
  tls: null,
  sasl: null,
  connectionTimeoutMillis: 1_000,
  authenticationTimeoutMillis: 1_000,
  reauthenticationThresholdMillis: 1_000,
  requestTimeoutMillis: 3_000,
  metadataMaxAgeMillis: 1_000,
  connectionsPerBroker: 1,
  compression: "none"
}
