/**
 * One direction of one connection: what is written to a socket, in which order, and what waits.
 *
 * A lane is a queue with barriers. Without a barrier everything is written at once and the queue is
 * empty. Behind a barrier everything waits, as behind a lost segment of TCP.
 */
import type { Socket } from "node:net"

export type OnSent = () => void

export interface Lane {
  /** Bytes in their order. `midFrame` says that the frame goes on in the next write. */
  readonly write: (bytes: Buffer, midFrame: boolean, onSent?: OnSent) => void
  /** A whole frame out of order: as soon as no other frame is half written. */
  readonly insert: (bytes: Buffer, onSent?: OnSent) => void
  /** A whole frame in pieces with gaps; what comes later waits. */
  readonly pace: (bytes: Buffer, pace: Pace, onSent?: OnSent) => void
  /** What is written from now on waits until the returned function is called. */
  readonly barrier: () => () => void
  /** What is written from now on is lost. */
  readonly lose: () => void
  /** Ends the socket after all that waits. */
  readonly end: () => void
  /** Whether anything waits. */
  readonly isWaiting: () => boolean
}

export interface Pace {
  readonly pieceBytes: number
  readonly gapMillis: number
}

interface Bytes {
  readonly _tag: "Bytes"
  readonly bytes: Buffer
  readonly midFrame: boolean
  readonly onSent: OnSent | undefined
}

interface Paced {
  readonly _tag: "Paced"
  readonly bytes: Buffer
  readonly pace: Pace
  readonly onSent: OnSent | undefined
  sentBytes: number
  resting: boolean
}

type Item = Bytes | Paced | { readonly _tag: "Barrier"; open: boolean } | { readonly _tag: "End" }

/** Above this the source is no longer read: the back-pressure that TCP would give. */
const waitingBytesMax = 8 * 1024 * 1024

/**
 * The same for what a socket has not taken yet. Node's own mark of 16 KB is passed by every read of
 * a big frame: to stop and go on reading each time costs more than to pass the bytes.
 */
const unsentBytesMax = 1024 * 1024

interface Options {
  readonly sink: Socket
  readonly source: Socket
  /** Called when the last thing that waited has been written. */
  readonly onIdle: () => void
  readonly later: (run: () => void, millis: number) => void
}

interface State extends Options {
  queue: Array<Item>
  inserts: Array<{ readonly bytes: Buffer; readonly onSent: OnSent | undefined }>
  waitingBytes: number
  midFrame: boolean
  lost: boolean
}

export const make = (options: Options): Lane => {
  const state: State = {
    ...options,
    queue: [],
    inserts: [],
    waitingBytes: 0,
    midFrame: false,
    lost: false
  }
  const { sink } = options
  sink.on("drain", () => throttle(state))
  return {
    write: (bytes, midFrame, onSent) => write(state, bytes, midFrame, onSent),
    insert: (bytes, onSent) => {
      if (state.lost) return
      state.inserts.push({ bytes, onSent })
      sendInserts(state)
    },
    pace: (bytes, pace, onSent) => {
      if (state.lost) return
      enqueue(state, { _tag: "Paced", bytes, pace, onSent, sentBytes: 0, resting: false })
      flush(state)
    },
    barrier: () => {
      const item = { _tag: "Barrier" as const, open: false }
      state.queue.push(item)
      return () => {
        item.open = true
        flush(state)
      }
    },
    lose: () => {
      state.lost = true
    },
    end: () => {
      if (state.queue.length === 0) sink.end()
      else state.queue.push({ _tag: "End" })
    },
    isWaiting: () => state.queue.length > 0 || state.inserts.length > 0
  }
}

const write = (
  state: State,
  bytes: Buffer,
  midFrame: boolean,
  onSent: OnSent | undefined
): void => {
  if (state.lost) return
  if (state.queue.length > 0) {
    return enqueue(state, { _tag: "Bytes", bytes, midFrame, onSent })
  }
  send(state, bytes, onSent)
  state.midFrame = midFrame
  sendInserts(state)
  if (state.sink.writableLength > unsentBytesMax) throttle(state)
}

const send = ({ sink }: State, bytes: Buffer, onSent: OnSent | undefined): void => {
  if (sink.destroyed || sink.writableEnded) return
  sink.write(bytes)
  onSent?.()
}

const sendInserts = (state: State): void => {
  if (state.midFrame || state.inserts.length === 0) return
  const ready = state.inserts
  state.inserts = []
  for (const { bytes, onSent } of ready) send(state, bytes, onSent)
}

const throttle = ({ sink, source, waitingBytes }: State): void => {
  const full = waitingBytes > waitingBytesMax || sink.writableLength > unsentBytesMax
  if (full === source.isPaused()) return
  if (full) source.pause()
  else source.resume()
}

const enqueue = (state: State, item: Bytes | Paced): void => {
  state.queue.push(item)
  state.waitingBytes += item.bytes.length
  throttle(state)
}

const flush = (state: State): void => {
  if (state.queue.length === 0) return
  let done = 0
  while (done < state.queue.length && perform(state, state.queue[done]!)) {
    done += 1
    sendInserts(state)
  }
  if (done > 0) state.queue = state.queue.slice(done)
  throttle(state)
  if (state.queue.length === 0) state.onIdle()
}

/** Does what an item asks for, and says whether the next one may follow. */
const perform = (state: State, item: Item): boolean => {
  switch (item._tag) {
    case "Barrier":
      return item.open
    case "Paced":
      return sendPiece(state, item)
    case "End":
      state.sink.end()
      return true
    case "Bytes":
      state.waitingBytes -= item.bytes.length
      send(state, item.bytes, item.onSent)
      state.midFrame = item.midFrame
      return true
  }
}

/** Writes the next piece, and says whether the frame is complete. */
const sendPiece = (state: State, item: Paced): boolean => {
  if (item.resting) return false
  const end = Math.min(item.sentBytes + item.pace.pieceBytes, item.bytes.length)
  const isLast = end === item.bytes.length
  send(state, item.bytes.subarray(item.sentBytes, end), isLast ? item.onSent : undefined)
  state.waitingBytes -= end - item.sentBytes
  item.sentBytes = end
  state.midFrame = !isLast
  if (isLast) return true
  item.resting = true
  state.later(() => {
    item.resting = false
    flush(state)
  }, item.pace.gapMillis)
  return false
}
