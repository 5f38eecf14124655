/**
 * Generates the protocol tables from the message definitions inside the `kafka-clients` jar.
 *
 * Run with `node packages/testing/scripts/generateProtocol.ts [path to the jar]`. Without a path
 * the jar is looked up in the local Maven repository, and resolved by Maven if it is not there.
 * A test runs `generate` in memory and compares, so that the committed tables cannot drift.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { inflateRawSync } from "node:zlib"

/** The version of `kafka-clients` whose messages are generated. */
export const kafkaVersion = "4.4.0"

/** Messages whose bodies also get a TypeScript type; all others are read as plain records. */
const typedApis = new Set([
  "Produce",
  "Fetch",
  "ListOffsets",
  "Metadata",
  "OffsetCommit",
  "OffsetFetch",
  "FindCoordinator",
  "JoinGroup",
  "Heartbeat",
  "LeaveGroup",
  "SyncGroup",
  "DescribeGroups",
  "ListGroups",
  "SaslHandshake",
  "ApiVersions",
  "CreateTopics",
  "DeleteTopics",
  "DeleteRecords",
  "InitProducerId",
  "AddPartitionsToTxn",
  "AddOffsetsToTxn",
  "EndTxn",
  "TxnOffsetCommit",
  "DescribeAcls",
  "CreateAcls",
  "DescribeConfigs",
  "IncrementalAlterConfigs",
  "SaslAuthenticate",
  "CreatePartitions",
  "DescribeProducers",
  "DescribeTransactions",
  "ListTransactions",
  "DescribeCluster",
  "ConsumerGroupHeartbeat",
  "ConsumerGroupDescribe",
  "DeleteGroups"
])

interface MessageField {
  readonly name: string
  readonly type: string
  readonly versions: string
  readonly nullableVersions?: string
  readonly taggedVersions?: string
  readonly tag?: number
  readonly default?: string | number | boolean
  readonly fields?: ReadonlyArray<MessageField>
}

interface Message {
  readonly type: string
  readonly name: string
  readonly apiKey?: number
  readonly listeners?: ReadonlyArray<string>
  readonly validVersions: string
  readonly flexibleVersions?: string
  readonly latestVersionUnstable?: boolean
  readonly fields?: ReadonlyArray<MessageField>
  readonly commonStructs?: ReadonlyArray<MessageField>
}

/** Files of a zip archive below a folder. Reads the central directory; no zip64, no encryption. */
const readZip = (archive: Buffer, folder: string): ReadonlyArray<readonly [string, string]> => {
  const end = archive.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]))
  if (end < 0) throw new Error("not a zip archive: no end of central directory")
  const files: Array<readonly [string, string]> = []
  let at = archive.readUInt32LE(end + 16)
  for (let left = archive.readUInt16LE(end + 10); left > 0; left--) {
    const method = archive.readUInt16LE(at + 10)
    const size = archive.readUInt32LE(at + 20)
    const nameLength = archive.readUInt16LE(at + 28)
    const skip = archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32)
    const local = archive.readUInt32LE(at + 42)
    const name = archive.toString("utf8", at + 46, at + 46 + nameLength)
    if (name.startsWith(folder) && name.endsWith(".json")) {
      const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28)
      const raw = archive.subarray(start, start + size)
      files.push([name, (method === 0 ? raw : inflateRawSync(raw)).toString("utf8")])
    }
    at += 46 + nameLength + skip
  }
  return files.sort(([left], [right]) => (left < right ? -1 : 1))
}

/** The definitions are JSON with whole-line comments. */
const parseMessage = (text: string): Message => JSON.parse(text.replaceAll(/^\s*\/\/.*$/gm, ""))

/** `"3+"`, `"3-5"`, `"3"` and `"none"`; an open end is `null`. */
const parseRange = (text: string): readonly [number, number | null] | undefined => {
  if (text === "none") return undefined
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(text)
  if (match === null) throw new Error(`not a version range: ${text}`)
  const from = Number(match[1])
  return [from, match[2] === "+" ? null : match[3] === undefined ? from : Number(match[3])]
}

const camelCase = (name: string): string => name[0]!.toLowerCase() + name.slice(1)

const scalarTypes: Readonly<Record<string, string>> = {
  bool: "boolean",
  int8: "number",
  int16: "number",
  uint16: "number",
  int32: "number",
  uint32: "number",
  float64: "number",
  int64: "bigint",
  string: "string",
  uuid: "string",
  bytes: "Uint8Array",
  records: "Uint8Array"
}

const defaultLiteral = (type: string, value: string | number | boolean): string => {
  const text = String(value)
  if (text === "null") return "null"
  const scalar = scalarTypes[type]
  if (scalar === "boolean") return text.toLowerCase()
  if (scalar === "bigint") return `${BigInt(text)}n`
  if (scalar === "number") return String(Number(text))
  return JSON.stringify(text)
}

/** The lines of a table of fields, and of the TypeScript type of the same fields. */
const makeEmitter = (message: Message, structs: ReadonlyMap<string, MessageField>) => {
  const valid = parseRange(message.validVersions)!
  const children = (field: MessageField): ReadonlyArray<MessageField> | undefined => {
    const element = field.type.replace(/^\[\]/, "")
    if (element in scalarTypes) return undefined
    return field.fields ?? structs.get(element)?.fields ?? []
  }

  const table = (fields: ReadonlyArray<MessageField>, indent: string): Array<string> =>
    fields.flatMap((field) => {
      const range = parseRange(field.versions)
      if (range === undefined) return []
      const element = field.type.replace(/^\[\]/, "")
      const nested = children(field)
      const nullable = parseRange(field.nullableVersions ?? "none")
      const parts = [
        `name: "${camelCase(field.name)}"`,
        `type: "${nested === undefined ? element : "struct"}"`
      ]
      if (field.type.startsWith("[]")) parts.push("array: true")
      if (range[0] > 0) parts.push(`from: ${range[0]}`)
      if (range[1] !== null) parts.push(`to: ${range[1]}`)
      if (nullable !== undefined) {
        parts.push(`nullable: [${nullable[0]}, ${nullable[1] ?? "Infinity"}]`)
      }
      if (field.tag !== undefined) {
        if (field.taggedVersions !== field.versions) {
          throw new Error(`${message.name}.${field.name}: tagged in some versions only`)
        }
        parts.push(`tag: ${field.tag}`)
      }
      if (field.default !== undefined) {
        parts.push(`default: ${defaultLiteral(element, field.default)}`)
      }
      if (nested === undefined) return [`${indent}{ ${parts.join(", ")} },`]
      return [
        `${indent}{ ${parts.join(", ")}, fields: [`,
        ...table(nested, `${indent}  `),
        `${indent}] },`
      ]
    })

  const types = (fields: ReadonlyArray<MessageField>, indent: string): Array<string> =>
    fields.flatMap((field) => {
      const range = parseRange(field.versions)
      if (range === undefined) return []
      const nested = children(field)
      const isArray = field.type.startsWith("[]")
      const always = field.tag === undefined && range[0] <= valid[0] &&
        (range[1] === null || range[1] >= valid[1]!)
      const head = `${indent}readonly ${camelCase(field.name)}${always ? "" : "?"}: `
      const tail = field.nullableVersions === undefined ? "" : " | null"
      if (nested === undefined) {
        const scalar = scalarTypes[field.type.replace(/^\[\]/, "")]!
        return [`${head}${isArray ? `ReadonlyArray<${scalar}>` : scalar}${tail}`]
      }
      return [
        `${head}${isArray ? "ReadonlyArray<" : ""}{`,
        ...types(nested, `${indent}  `),
        `${indent}}${isArray ? ">" : ""}${tail}`
      ]
    })

  return { table, types }
}

const notice =
  `// Generated by scripts/generateProtocol.ts from the message definitions (common/message/*.json)
// in kafka-clients ${kafkaVersion}. Do not edit.
//
// Apache Kafka
// Copyright The Apache Software Foundation.
// This product includes software developed at The Apache Software Foundation
// (https://www.apache.org/). Licensed under the Apache License, Version 2.0:
// https://www.apache.org/licenses/LICENSE-2.0
`

const emitterOf = (message: Message) =>
  makeEmitter(
    message,
    new Map((message.commonStructs ?? []).map((struct) => [struct.name, struct]))
  )

interface Api {
  readonly name: string
  readonly request: Message
  readonly response: Message
}

/** Every API that a broker serves on its client listeners, in the order of the keys. */
const readApis = (jar: Buffer): ReadonlyArray<Api> => {
  const messages = readZip(jar, "common/message/").map(([, text]) => parseMessage(text))
  const responses = new Map(
    messages.filter((message) => message.type === "response")
      .map((message) => [message.name.replace(/Response$/, ""), message])
  )
  return messages
    .filter((message) =>
      message.type === "request" && message.fields !== undefined &&
      message.listeners?.includes("broker") === true
    )
    .sort((left, right) => left.apiKey! - right.apiKey!)
    .map((request) => {
      const name = request.name.replace(/Request$/, "")
      const response = responses.get(name)
      if (response === undefined) throw new Error(`${name} has no response`)
      if (response.flexibleVersions !== request.flexibleVersions) {
        throw new Error(`${name}: request and response are flexible from different versions`)
      }
      return { name, request, response }
    })
}

const apiTable = ({ name, request, response }: Api): ReadonlyArray<string> => {
  const [from, to] = parseRange(request.validVersions)!
  const flexible = parseRange(request.flexibleVersions ?? "none")
  const head = [
    `name: "${name}"`,
    `key: ${request.apiKey}`,
    `versions: [${from}, ${to}]`,
    `flexible: ${flexible === undefined ? "Infinity" : flexible[0]}`
  ]
  if (request.latestVersionUnstable === true) head.push("latestUnstable: true")
  return [
    `  { ${head.join(", ")}, request: [`,
    ...emitterOf(request).table(request.fields!, "    "),
    "  ], response: [",
    ...emitterOf(response).table(response.fields!, "    "),
    "  ] },"
  ]
}

const messageType = (message: Message): ReadonlyArray<string> => [
  `export interface ${message.name} {`,
  ...emitterOf(message).types(message.fields!, "  "),
  "}",
  ""
]

/** Generates the files of `src/internal/protocol/generated` from the bytes of the jar. */
export const generate = (jar: Buffer): Readonly<Record<string, string>> => {
  const apis = readApis(jar)
  const typed = apis.filter(({ name }) => typedApis.has(name))
  return {
    "apis.ts": [
      notice,
      `import type { ApiSchema } from "../apiSchema.ts"`,
      "",
      "export const apiNames = [",
      apis.map(({ name }) => `  "${name}"`).join(",\n"),
      "] as const",
      "",
      "export const apis: ReadonlyArray<ApiSchema> = [",
      ...apis.flatMap(apiTable),
      "]",
      ""
    ].join("\n"),
    "messages.ts": [
      notice,
      ...typed.flatMap(({ request, response }) => [request, response].flatMap(messageType)),
      "export interface Requests {",
      ...typed.map(({ name }) => `  readonly ${name}: ${name}Request`),
      "}",
      "",
      "export interface Responses {",
      ...typed.map(({ name }) => `  readonly ${name}: ${name}Response`),
      "}",
      ""
    ].join("\n")
  }
}

/** The jar in the local Maven repository; resolved by Maven when it is not there yet. */
export const findJar = (): string => {
  const repository = process.env["MAVEN_REPOSITORY"] ?? join(homedir(), ".m2", "repository")
  const jar = join(
    repository,
    "org/apache/kafka/kafka-clients",
    kafkaVersion,
    `kafka-clients-${kafkaVersion}.jar`
  )
  if (!existsSync(jar)) {
    execFileSync("mvn", [
      "-q",
      "-B",
      `-Dmaven.repo.local=${repository}`,
      "dependency:get",
      `-Dartifact=org.apache.kafka:kafka-clients:${kafkaVersion}`,
      "-Dtransitive=false"
    ], { stdio: "inherit", timeout: 300_000 })
  }
  return jar
}

/** The folder that holds the generated files. */
export const generatedFolder = join(
  import.meta.dirname,
  "..",
  "src",
  "internal",
  "protocol",
  "generated"
)

if (import.meta.main) {
  mkdirSync(generatedFolder, { recursive: true })
  for (const [name, text] of Object.entries(generate(readFileSync(process.argv[2] ?? findJar())))) {
    writeFileSync(join(generatedFolder, name), text)
  }
}
