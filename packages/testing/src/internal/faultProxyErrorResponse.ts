/**
 * The answer a broker would give if everything in a request failed with one error code.
 *
 * The response's tables are walked beside the request: an error code becomes the code, an array of
 * topics, partitions, groups or keys is mirrored from the request, and all else has Kafka's
 * default.
 */
import type { FieldSchema } from "./protocol/apiSchema.ts"
import type * as Frame from "./protocol/frame.ts"
import { apiByName } from "./protocol/frame.ts"
import type { Struct } from "./protocol/messageCodec.ts"

const isErrorCode = (field: FieldSchema): boolean =>
  field.type === "int16" && /errorCode$/i.test(field.name)

/** Whether the answer of an API has a place for an error code at all. */
export const canFail = (api: Frame.ApiName): boolean => holdsErrorCode(apiByName(api)!.response)

const holdsErrorCode = (fields: ReadonlyArray<FieldSchema>): boolean =>
  fields.some((field) => isErrorCode(field) || holdsErrorCode(field.fields ?? []))

/** Arrays and keys that have one name in the response and another in the request. */
const otherNames: Readonly<Record<string, ReadonlyArray<string>>> = {
  responses: ["topicData", "topics", "topicNames", "resources"],
  partitionResponses: ["partitionData"],
  partitions: ["partitionIndexes"],
  coordinators: ["coordinatorKeys"],
  resultsByTopicV3AndBelow: ["v3AndBelowTopics"],
  resultsByTransaction: ["transactions"],
  topicResults: ["topics"],
  resultsByPartition: ["partitions"],
  transactionStates: ["transactionalIds"],
  results: ["topics", "resources", "groupsNames", "creations", "filters"],
  filterResults: ["filters"],
  groups: ["groupIds"],
  partitionIndex: ["partition", "index"],
  partition: ["partitionIndex", "index"],
  index: ["partitionIndex", "partition"],
  name: ["topic"],
  topic: ["name"]
}

const lookUp = (source: Struct, name: string): unknown => {
  for (const candidate of [name, ...(otherNames[name] ?? [])]) {
    if (source[candidate] !== undefined) return source[candidate]
  }
  return undefined
}

const isInVersion = (field: FieldSchema, version: number): boolean =>
  version >= (field.from ?? 0) && version <= (field.to ?? Infinity)

/** A list of plain keys in the request: each is put where the response has its first such field. */
const asStruct = (
  element: unknown,
  fields: ReadonlyArray<FieldSchema>,
  version: number
): Struct => {
  if (typeof element === "object" && element !== null) return element as Struct
  const key = fields.find((field) =>
    field.array !== true && field.name !== "errorMessage" && isInVersion(field, version) &&
    (typeof element === "string"
      ? field.type === "string" || field.type === "uuid"
      : field.type === "int32")
  )
  return key === undefined ? {} : { [key.name]: element }
}

const fits = (field: FieldSchema, value: unknown): boolean =>
  field.type === "string" || field.type === "uuid"
    ? typeof value === "string"
    : field.type === "int32" && typeof value === "number"

const makeStruct = (
  fields: ReadonlyArray<FieldSchema>,
  version: number,
  source: Struct,
  code: number
): Struct => {
  const struct: Record<string, unknown> = {}
  for (const field of fields) {
    if (field.tag !== undefined || !isInVersion(field, version)) continue
    if (isErrorCode(field)) {
      struct[field.name] = code
      continue
    }
    const value = lookUp(source, field.name)
    if (field.array === true && field.type === "struct") {
      struct[field.name] = (Array.isArray(value) ? value : []).map((element: unknown) =>
        makeStruct(field.fields!, version, asStruct(element, field.fields!, version), code)
      )
    } else if (field.array !== true && fits(field, value)) {
      struct[field.name] = value
    }
  }
  return struct
}

/** The body of the answer. */
export const make = (
  api: Frame.ApiName,
  version: number,
  request: Struct,
  code: number
): Struct => makeStruct(apiByName(api)!.response, version, request, code)
