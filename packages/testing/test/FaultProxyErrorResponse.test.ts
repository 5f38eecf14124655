import { assert, describe, it } from "@effect/vitest"
import { randomInt } from "node:crypto"
import * as ErrorResponse from "../src/internal/faultProxyErrorResponse.ts"
import type { FieldSchema } from "../src/internal/protocol/apiSchema.ts"
import * as Frame from "../src/internal/protocol/frame.ts"
import { apis } from "../src/internal/protocol/generated/apis.ts"
import type { Struct } from "../src/internal/protocol/messageCodec.ts"
import { makeRandom, randomMessage } from "./protocolMessages.ts"

const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? randomInt(2 ** 31))

const failing = (api: Frame.ApiName, version: number, request: Struct): Struct => {
  const body = ErrorResponse.make(api, version, request, 15)
  const bytes = Frame.encodeBodyUnsafe(api, "response", version, body)
  return Frame.decodeBodyUnsafe(api, "response", version, bytes)
}

const topic = { name: "a", topic: "a", partitions: [{ partitionIndex: 1, partition: 1 }] }

const cases: ReadonlyArray<readonly [Frame.ApiName, number, Struct, string]> = [
  [
    "Produce",
    7,
    { topicData: [{ name: "a", partitionData: [{ index: 1 }] }] },
    `"index":1,"errorCode":15`
  ],
  [
    "Fetch",
    11,
    { topics: [topic] },
    `"topic":"a","partitions":[{"partitionIndex":1,"errorCode":15`
  ],
  ["ListOffsets", 5, { topics: [topic] }, `"partitionIndex":1,"errorCode":15`],
  ["Metadata", 9, { topics: [{ name: "a" }] }, `"errorCode":15,"name":"a"`],
  ["OffsetCommit", 7, { topics: [topic] }, `"partitionIndex":1,"errorCode":15`],
  ["OffsetFetch", 5, { topics: [{ name: "a", partitionIndexes: [1] }] }, `"partitionIndex":1`],
  [
    "OffsetFetch",
    8,
    { groups: [{ groupId: "g", topics: [{ name: "a", partitionIndexes: [1] }] }] },
    `"errorCode":15`
  ],
  ["FindCoordinator", 2, { key: "k" }, `"errorCode":15`],
  ["FindCoordinator", 4, { coordinatorKeys: ["k"] }, `"key":"k"`],
  [
    "AddPartitionsToTxn",
    1,
    { v3AndBelowTopics: [{ name: "a", partitions: [1] }] },
    `"partitionIndex":1,"partitionErrorCode":15`
  ],
  ["AddPartitionsToTxn", 4, {
    transactions: [{ transactionalId: "t", topics: [{ name: "a", partitions: [1] }] }]
  }, `"partitionIndex":1,"partitionErrorCode":15`],
  ["TxnOffsetCommit", 3, { topics: [topic] }, `"partitionIndex":1,"errorCode":15`],
  ["DescribeTransactions", 0, { transactionalIds: ["t"] }, `"errorCode":15,"transactionalId":"t"`],
  [
    "DescribeProducers",
    0,
    { topics: [{ name: "a", partitionIndexes: [1] }] },
    `"partitionIndex":1,"errorCode":15`
  ],
  ["DescribeGroups", 5, { groups: ["g"] }, `"errorCode":15,"groupId":"g"`],
  ["DeleteTopics", 4, { topicNames: ["a"] }, `"name":"a","errorCode":15`],
  ["CreateTopics", 5, { topics: [{ name: "a" }] }, `"name":"a","errorCode":15`],
  ["ApiVersions", 3, {}, `"errorCode":15`],
  ["InitProducerId", 1, {}, `"errorCode":15,"producerId":"-1"`],
  ["JoinGroup", 5, {}, `"errorCode":15`],
  ["SaslAuthenticate", 1, {}, `"errorCode":15`]
]

const bigintToText = (_: string, value: unknown) => typeof value === "bigint" ? `${value}` : value

const hasErrorCode = (fields: ReadonlyArray<FieldSchema>, version: number): boolean =>
  fields.some((field) =>
    version >= (field.from ?? 0) && version <= (field.to ?? Infinity) && field.array !== true &&
    /errorCode$/i.test(field.name)
  )

describe("an answer in the broker's place", () => {
  for (const [api, version, request, expected] of cases) {
    it(`${api} v${version} carries the code where its request has an element`, () => {
      const answer = failing(api, version, request)
      assert.include(JSON.stringify(answer, bigintToText), expected)
    })
  }

  it(`can be written for every API and version (seed ${seed})`, () => {
    const next = makeRandom(seed)
    for (const { flexible, name, request, response, versions: [from, to] } of apis) {
      for (let version = from; version <= to; version++) {
        const options = { next, flexible: version >= flexible, omitDefaults: false }
        const body = randomMessage(request, version, options)
        const answer = failing(name as Frame.ApiName, version, body)
        if (!hasErrorCode(response, version)) continue
        assert.strictEqual(answer["errorCode"], 15, `${name} v${version}, seed ${seed}`)
      }
    }
  })
})
