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

export const make = (options: {
  readonly sink: Socket
  readonly source: Socket
  /** Called when the last thing that waited has been written. */
  readonly onIdle: () => void
  readonly later: (run: () => void, millis: number) => void
}): Lane => {
  const { later, onIdle, sink, source } = options
  let queue: Array<Item> = []
  let inserts: Array<{ readonly bytes: Buffer; readonly onSent: OnSent | undefined }> = []
  let waitingBytes = 0
  let midFrame = false
  let lost = false

  const throttle = (): void => {
    const full = waitingBytes > waitingBytesMax || sink.writableNeedDrain
    if (full === source.isPaused()) return
    if (full) source.pause()
    else source.resume()
  }
  sink.on("drain", throttle)

  const send = (bytes: Buffer, onSent: OnSent | undefined): void => {
    if (sink.destroyed || sink.writableEnded) return
    sink.write(bytes)
    onSent?.()
  }

  const sendInserts = (): void => {
    if (midFrame || inserts.length === 0) return
    const ready = inserts
    inserts = []
    for (const { bytes, onSent } of ready) send(bytes, onSent)
  }

  /** Writes the next piece, and says whether the frame is complete. */
  const sendPiece = (item: Paced): boolean => {
    if (item.resting) return false
    const end = Math.min(item.sentBytes + item.pace.pieceBytes, item.bytes.length)
    const isLast = end === item.bytes.length
    send(item.bytes.subarray(item.sentBytes, end), isLast ? item.onSent : undefined)
    waitingBytes -= end - item.sentBytes
    item.sentBytes = end
    midFrame = !isLast
    if (isLast) return true
    item.resting = true
    later(() => {
      item.resting = false
      flush()
    }, item.pace.gapMillis)
    return false
  }

  /** Does what an item asks for, and says whether the next one may follow. */
  const perform = (item: Item): boolean => {
    switch (item._tag) {
      case "Barrier":
        return item.open
      case "Paced":
        return sendPiece(item)
      case "End":
        sink.end()
        return true
      case "Bytes":
        waitingBytes -= item.bytes.length
        send(item.bytes, item.onSent)
        midFrame = item.midFrame
        return true
    }
  }

  const flush = (): void => {
    if (queue.length === 0) return
    let done = 0
    while (done < queue.length && perform(queue[done]!)) {
      done += 1
      sendInserts()
    }
    if (done > 0) queue = queue.slice(done)
    throttle()
    if (queue.length === 0) onIdle()
  }

  const enqueue = (item: Bytes | Paced): void => {
    queue.push(item)
    waitingBytes += item.bytes.length
    throttle()
  }

  return {
    write: (bytes, nextMidFrame, onSent) => {
      if (lost) return
      if (queue.length > 0) {
        return enqueue({ _tag: "Bytes", bytes, midFrame: nextMidFrame, onSent })
      }
      send(bytes, onSent)
      midFrame = nextMidFrame
      sendInserts()
      if (sink.writableNeedDrain) throttle()
    },
    insert: (bytes, onSent) => {
      if (lost) return
      inserts.push({ bytes, onSent })
      sendInserts()
    },
    pace: (bytes, pace, onSent) => {
      if (lost) return
      enqueue({ _tag: "Paced", bytes, pace, onSent, sentBytes: 0, resting: false })
      flush()
    },
    barrier: () => {
      const item = { _tag: "Barrier" as const, open: false }
      queue.push(item)
      return () => {
        item.open = true
        flush()
      }
    },
    lose: () => {
      lost = true
    },
    end: () => {
      if (queue.length === 0) sink.end()
      else queue.push({ _tag: "End" })
    },
    isWaiting: () => queue.length > 0 || inserts.length > 0
  }
}
