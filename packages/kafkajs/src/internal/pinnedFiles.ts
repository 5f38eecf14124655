/**
 * The files of kafkajs whose inside the driver relies on, with the sha256 of each in version 2.2.4.
 *
 * The driver walls in what these files do wrong, and reads what they write. In another version, or
 * one that was patched, a wall can stand in the wrong place, and a record be lost without a word.
 */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

const files: ReadonlyArray<readonly [path: string, sha256: string]> = [
  ["src/broker/index.js", "9cbea8898528c439c213080f99d86974460114f81b5034c49aeb593a0337ca90"],
  [
    "src/broker/saslAuthenticator/index.js",
    "535765470e1172399633a8cd8238212c0fbcda859980d09ced42a8b7184e429b"
  ],
  ["src/cluster/brokerPool.js", "9994863e891ac2ab243f27f941ef87893889f53d64aa580353fafbb8d11614c6"],
  [
    "src/cluster/connectionPoolBuilder.js",
    "05a6be8bbf9e2bb9de56e7fc66e1f752799271ebe595575d57f244d8de198233"
  ],
  ["src/cluster/index.js", "3831a6845e4e9fb0de73d5ff50a3695974fb8a927acde677c524fe1c362bd57d"],
  ["src/errors.js", "bb3e50177a7b73f4cd35b3318d50a2fc50d9e631488c6ae89669b31aee25c926"],
  ["src/index.js", "38d0022e448f0aaa72ad2ed16fac346a3dd3a2d28b64ca5395cb33a26c8a82e9"],
  ["src/loggers/index.js", "86c9e625c9310dcabcd731a591ab7036710b95936c8ea3f08698ecfd74222cd2"],
  ["src/network/connection.js", "2a993b2e74421ca6d846efd59e4ba74b11100dbe7d40d0f52ea3218e917aafdd"],
  [
    "src/network/connectionPool.js",
    "ecba4ba6fc4f2a6e5f336b838b573dcca3f01fb39542530841d68691fe4957de"
  ],
  [
    "src/network/requestQueue/index.js",
    "b55986089c14f8f7bfc377922e2e65b3e4c1e7c7af2752d3b10a75dfe9e9260c"
  ],
  [
    "src/network/requestQueue/socketRequest.js",
    "dde28f8e26c6d17fe3383c60b2bfce27f4790ee4552ca7e73e78fdce30c6bf1d"
  ],
  ["src/network/socket.js", "9922c37e8a4d9e6b040e3bf8d6d74ca9f4c39c3c875deadc0f9dc5052e714ebe"],
  [
    "src/producer/createTopicData.js",
    "26da133f71f776a6c3059432f3bcf1c2f8b2ea0c902d48c533974d08c98c6adc"
  ],
  [
    "src/producer/eosManager/index.js",
    "a74ae029d7aa786b8616b77f922d30a81bec2833878769dbfa6b4a9dab66db22"
  ],
  [
    "src/producer/eosManager/transactionStateMachine.js",
    "1189584380f32964e223db28dd8b3c7cc252ebb6d7fb340b2f924a69a70c9c74"
  ],
  [
    "src/producer/groupMessagesPerPartition.js",
    "ea72357721fbf67770b5e06b9bf4260faa1e60f3affb556bff2cc7892c1881fb"
  ],
  ["src/producer/index.js", "37a6da431139e4af020c4f381af10855ab34e3660bbf4937abda1b27f9379775"],
  [
    "src/producer/messageProducer.js",
    "529636e6ab99b29765e44e7ffbbbccf256b7241f2b9d00e6933bae4e50e841f8"
  ],
  [
    "src/producer/responseSerializer.js",
    "fae4bfc9539e975e69b7866e77cc00ee2469a110e938f5def0e63e6660cfa2e4"
  ],
  [
    "src/producer/sendMessages.js",
    "8a120e6993955e040a13014cccebd79b8d41e7355d6eda1065fa83fea2fbbcdb"
  ],
  ["src/protocol/encoder.js", "9977889e184a9e910e4f6098c36ec6a0ca36c183aa6ead0f24191b6aa1c9a777"],
  ["src/protocol/error.js", "8911e3226a8aebddc2fffe2b2504379f966b804995dd911713c8c495c3673188"],
  [
    "src/protocol/recordBatch/header/v0/index.js",
    "5517d33a48fa33f5fb3253b3d171c6aa0fda89d9b37d45d985c1c9bf457d45d5"
  ],
  [
    "src/protocol/recordBatch/record/v0/index.js",
    "ffbc628c1f35f5de8ba798165616b1009d9af1c27ca959999a10e6e3c18f8215"
  ],
  [
    "src/protocol/recordBatch/v0/index.js",
    "6d6b63a8959ff0b9ea1198b2d4ec0af940a4c92d5c793bb592310ab46f99df30"
  ],
  ["src/protocol/request.js", "2270900ca6474026c11957fe71ac586881985460ed2554db22ad8870dcaff634"],
  [
    "src/protocol/requests/addOffsetsToTxn/index.js",
    "609b04a255dea57b79bf8d38554c4fb08c44d04cbf3f1d56ba5470f0552bfd7b"
  ],
  [
    "src/protocol/requests/addPartitionsToTxn/index.js",
    "c8ba0c49e488b4a88d0e28da90a4b3aa465459f9b4f26cf6708f875363d3b910"
  ],
  [
    "src/protocol/requests/apiKeys.js",
    "3b45eaab564cb47d512fde51dffa29aa6f01d8b2124c43319d223a0d583524f6"
  ],
  [
    "src/protocol/requests/endTxn/index.js",
    "dae14e9eeae2141efdfa3db57f4292a1bdd4add63b1cab0977d1008c66a5ee9b"
  ],
  [
    "src/protocol/requests/fetch/index.js",
    "b0961e16fca52023266570255c23e30cd770b3813bb5d75f879fe6b1609ea7c5"
  ],
  [
    "src/protocol/requests/findCoordinator/index.js",
    "bb8b89c2f61567263cdfeda9afed328a049f5b59ac61ac151f42c7d2470a441f"
  ],
  [
    "src/protocol/requests/index.js",
    "fd26a30565d7f0c14883140b7f4edadc42f34278a5f40084009b940c858ea2fd"
  ],
  [
    "src/protocol/requests/initProducerId/index.js",
    "cf89fc83177222ab9cbccb4212a358b35b152ee99f8c70a4020e062dfcd1e5f8"
  ],
  [
    "src/protocol/requests/metadata/index.js",
    "9db984ef0bbcd73a8008b18b394624b473ba19e1dbda91039fc7dafb82174672"
  ],
  [
    "src/protocol/requests/offsetFetch/index.js",
    "518af17259c0ff4e7581e0384a478551dde847e25ed55f45b661d2cf50e8b5a4"
  ],
  [
    "src/protocol/requests/produce/index.js",
    "789abc7e1c33a99e956f74a34f11b8de6f70be7722580a0f0dd05f67d998f45b"
  ],
  [
    "src/protocol/requests/produce/v3/request.js",
    "993a3db997827088f5acb08cacf3c67a99ec2886303ff465d244329b8a1c7f99"
  ],
  [
    "src/protocol/requests/txnOffsetCommit/index.js",
    "de987fd8224548533d44ff0779a3e71146932d27ab18979bc02592f347c85634"
  ],
  [
    "src/protocol/requests/txnOffsetCommit/v0/request.js",
    "3e0f908373e44fad5e137aa5b4887c687b0aa8126f5c513ddf7ea26007ab82ee"
  ],
  [
    "src/protocol/requests/heartbeat/index.js",
    "89e6da6d6f7a646286a77385395ac5904bf04acca772ecd40c0985c185dcdabc"
  ],
  [
    "src/protocol/requests/joinGroup/index.js",
    "4cb4c7839dba08fd9b7cb141df694debef2c170034763a69054a953f08ccfe7d"
  ],
  [
    "src/protocol/requests/leaveGroup/index.js",
    "4776435b9707619e98e1695ad9abb0efa7ce5ffa7860a5cadab393ba910ce52d"
  ],
  [
    "src/protocol/requests/listOffsets/index.js",
    "0bdf5e38536fb1edbe50c1ee393f07722bf8457ef1c456b1f76f1c31208f4bcf"
  ],
  [
    "src/protocol/requests/offsetCommit/index.js",
    "25a68fee73244c7d6eb97f8baaa82d79fdf189f87cd9d727f9fd4497521e0bac"
  ],
  [
    "src/protocol/requests/syncGroup/index.js",
    "af1092fccc5aee641a42a62024514c1cfe6f9c4c704b77552952170ec17938e4"
  ],
  ["src/retry/index.js", "6b10590bb8c285ee93ea323990052aac888edfe81deabd3dff89ec13ca8c6acf"]
]

/** Finds the first file that differs or cannot be read, or `null`. */
export const firstChanged: Effect.Effect<string | null> = Effect.suspend(() => changedIn(rootOf()))

export const changedIn = (root: string | null): Effect.Effect<string | null> =>
  Effect.sync(() => {
    if (root === null) return "package.json"
    for (const [path, sha256] of files) {
      if (hashOf(join(root, path)) !== sha256) return path
    }
    return null
  })

// Each of these throws where the file is missing, as in a program that was bundled into one file.
const rootOf = (): string | null => {
  try {
    return dirname(createRequire(import.meta.url).resolve("kafkajs/package.json"))
  } catch {
    return null
  }
}

const hashOf = (path: string): string | null => {
  try {
    return createHash("sha256").update(readFileSync(path)).digest("hex")
  } catch {
    return null
  }
}
