/**
 * The drivers that the quickstart can run on; a program changes drivers by one line.
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import type * as Layer from "effect/Layer"

type Refused = KafkaJs.KafkaJsError | Platformatic.PlatformaticError

const drivers = {
  kafkajs: KafkaJs.layer,
  platformatic: Platformatic.layer
} as const

/** A driver by its name. */
export type DriverName = keyof typeof drivers

/** The names that `--driver` takes. */
export const driverNames = Object.keys(drivers) as ReadonlyArray<DriverName>

/** The layer of a driver. */
export const driverLayer = (
  name: DriverName,
  brokers: ReadonlyArray<string>
): Layer.Layer<KafkaDriver, Refused> =>
  drivers[name]({ brokers, clientId: "kafka-once-quickstart" })
