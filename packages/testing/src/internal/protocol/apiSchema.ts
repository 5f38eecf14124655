/**
 * The shape of the generated tables: what a message holds in which version.
 */

export type ScalarType =
  | "bool"
  | "int8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "float64"
  | "string"
  | "uuid"
  | "bytes"
  | "records"

export type FieldDefault = number | bigint | string | boolean | null

/**
 * One field. `from` is 0 and `to` is open where they are absent; `nullable` is the range of
 * versions in which the field may be null; `tag` is set for a tagged field.
 */
export interface FieldSchema {
  readonly name: string
  readonly type: ScalarType | "struct"
  readonly array?: true
  readonly from?: number
  readonly to?: number
  readonly nullable?: readonly [from: number, to: number]
  readonly tag?: number
  readonly default?: FieldDefault
  readonly fields?: ReadonlyArray<FieldSchema>
}

/**
 * One API: its key, the versions that Kafka 4.4 knows, the first flexible version, and the fields
 * of its request and response.
 */
export interface ApiSchema {
  readonly name: string
  readonly key: number
  readonly versions: readonly [from: number, to: number]
  readonly flexible: number
  readonly latestUnstable?: true
  readonly request: ReadonlyArray<FieldSchema>
  readonly response: ReadonlyArray<FieldSchema>
}
