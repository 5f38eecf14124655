/**
 * How the suites of security make a driver: its layer by the options that all drivers have.
 *
 * @since 0.1.0
 */
import type { ConnectionOptions } from "@kafka-once/core/ConnectionOptions"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type * as Layer from "effect/Layer"

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
export type SecureDriver = (options: ConnectionOptions) => Layer.Layer<KafkaDriver, LayerError>
