/**
 * The options of the driver with their defaults filled in, in the units of the client.
 */
import type * as ConnectionOptions from "@kafka-once/core/ConnectionOptions"

export type SaslSettings = NonNullable<ConnectionOptions.Settings["sasl"]>

export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

export interface Settings extends ConnectionOptions.Settings {
  readonly connectionsPerBroker: number
  readonly compression: Compression
}
