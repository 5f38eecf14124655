/**
 * The drivers that the quickstart can run on; a program changes drivers by one line.
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import type * as Layer from "effect/Layer"

/** A driver by its name. */
export type DriverName = keyof typeof drivers

const drivers = {
  kafkajs: (brokers: ReadonlyArray<string>): Layer.Layer<KafkaDriver, KafkaJs.KafkaJsError> =>
    KafkaJs.layer({ brokers, clientId: "kafka-once-quickstart" })
} as const

/** The names that `--driver` takes. */
export const driverNames = Object.keys(drivers) as ReadonlyArray<DriverName>

/** The layer of a driver. */
export const driverLayer = (name: DriverName, brokers: ReadonlyArray<string>) =>
  drivers[name](brokers)
