/**
 * Repairs of one kafkajs cluster, made on that object alone.
 */
import type { Address } from "@kafka-once/core/ConnectionOptions"
import type { Cluster } from "./cluster.ts"

interface ProtocolRequest {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly encode: () => Promise<{ readonly buffer: Buffer }>
  }
  readonly response: {
    readonly decode: (raw: Buffer) => Promise<unknown>
    readonly parse: (decoded: never) => Promise<unknown>
  }
}

export interface Options {
  readonly bootstrap: ReadonlyArray<Address>
  readonly authenticationTimeoutMillis: number
}

interface RequestQueue {
  readonly pending: ReadonlyArray<unknown>
  readonly throttledUntil: number
  scheduleCheckPendingRequests: () => void
  createSocketRequest: (
    pushed: { readonly entry: { readonly apiKey: number } }
  ) => { requestTimeout: number }
}

interface ConnectionPool {
  readonly pool: ReadonlyArray<{ readonly requestQueue: RequestQueue }>
  send: (request: ProtocolRequest) => Promise<unknown>
}

interface Internals {
  readonly connectionPoolBuilder: {
    build: (address?: Partial<Address>) => Promise<ConnectionPool>
  }
}

/**
 * kafkajs asks for a connection to no address when it means a bootstrap address, and would split
 * its text at the first colon, IPv6 or not. It gets the next one of `bootstrap` instead.
 */
export const repair = (cluster: Cluster, options: Options): Cluster => {
  const { authenticationTimeoutMillis, bootstrap } = options
  // It is private in kafkajs, whose exact files are pinned (`pinnedFiles.ts`).
  const { connectionPoolBuilder } = cluster as unknown as Internals
  const build = connectionPoolBuilder.build
  let next = 0
  connectionPoolBuilder.build = async (address) =>
    repairPool(
      await build(address?.host === undefined ? bootstrap[next++ % bootstrap.length] : address),
      authenticationTimeoutMillis
    )
  return cluster
}

const repairPool = (
  pool: ConnectionPool,
  authenticationTimeoutMillis: number
): ConnectionPool => {
  for (const { requestQueue } of pool.pool) {
    repairQueue(requestQueue)
    repairAuthentication(requestQueue, authenticationTimeoutMillis)
  }
  const send = pool.send.bind(pool)
  pool.send = (request) => send(repairRequest(request))
  return pool
}

/**
 * kafkajs sets a timer after every answer, for a time in the past where nothing throttles it: a
 * needless timer each, and Node 24 prints a TimeoutNegativeWarning (K20). It is needed only while
 * requests wait.
 */
const repairQueue = (queue: RequestQueue): void => {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue)
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule()
  }
}

/** SaslHandshake and SaslAuthenticate. */
const authenticates = new Set([17, 36])

/** kafkajs takes its authentication time-out for a lock alone, and never for the requests. */
const repairAuthentication = (queue: RequestQueue, timeoutMillis: number): void => {
  const create = queue.createSocketRequest.bind(queue)
  queue.createSocketRequest = (pushed) => {
    const created = create(pushed)
    if (authenticates.has(pushed.entry.apiKey)) created.requestTimeout = timeoutMillis
    return created
  }
}

const fetchKey = 1
const metadataKey = 3
const leaveGroupKey = 13

const repairRequest = (request: ProtocolRequest): ProtocolRequest => {
  switch (request.request.apiKey) {
    case fetchKey:
      return withRawAnswer(request)
    case metadataKey:
      return withoutStrangers(request)
    case leaveGroupKey:
      return withOneFailure(request)
    default:
      return request
  }
}

export interface RawFetch {
  readonly apiVersion: number
  readonly body: Buffer
}

/**
 * kafkajs decodes every record of a Fetch, fails on a batch that is compressed with anything but
 * gzip, and drops what a reader of end markers needs. The driver reads the bytes itself.
 */
const withRawAnswer = ({ request, ...rest }: ProtocolRequest): ProtocolRequest => ({
  ...rest,
  request,
  response: {
    decode: (body): Promise<RawFetch> => Promise.resolve({ apiVersion: request.apiVersion, body }),
    parse: (decoded) => Promise.resolve(decoded)
  }
})

/**
 * Three repairs of Metadata, without which somebody else's trouble fails a call:
 * - kafkajs asks for *all* topics when it means none, and fails if any partition of the cluster has
 *   no leader. An empty list instead of a null one asks for none.
 * - One partition without a leader fails the answer for every partition of its topic.
 * - One topic that is gone, or that may not be read, fails the answer for every other topic;
 *   kafkajs asks for each topic that it ever wrote to, so a session would never send again.
 *
 * The codes stay in the answer, where `topicOf` of `client.ts` finds them.
 */
const withoutStrangers = (protocolRequest: ProtocolRequest): ProtocolRequest => {
  const { request, response, ...rest } = protocolRequest
  if (request.apiVersion === 0) return protocolRequest
  return {
    ...rest,
    request: {
      ...request,
      encode: async () => {
        const encoded = await request.encode()
        if (encoded.buffer.readInt32BE(0) === -1) encoded.buffer.writeInt32BE(0, 0)
        return encoded
      }
    },
    response: { decode: response.decode, parse: (decoded) => Promise.resolve(decoded) }
  }
}

/**
 * Where both the group's code and a member's are errors, kafkajs throws the member's and leaves a
 * rejected promise of the group's behind, which ends the program (K26). The group's is enough.
 */
const withOneFailure = ({ request, response, ...rest }: ProtocolRequest): ProtocolRequest => ({
  ...rest,
  request,
  response: {
    decode: response.decode,
    parse: (decoded: LeftGroup) =>
      response.parse((decoded.errorCode === 0 ? decoded : { ...decoded, members: [] }) as never)
  }
})

interface LeftGroup {
  readonly errorCode: number
}
