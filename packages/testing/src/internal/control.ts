/**
 * Asks the launcher, over its control port, for what an owner needs: topics and access rules.
 */
import * as Effect from "effect/Effect"
import { connect } from "node:net"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"

const answerLimit = "35 seconds"
const answerBytes = 1_000_000

/** Where a launcher listens, and the word that it wants to hear. */
export interface Control {
  readonly port: number
  readonly token: string
}

export interface Request {
  readonly command: "createTopic" | "addAcl" | "removeAcl"
  readonly [field: string]: unknown
}

/** One connection and one line each way. `what` names the request in errors. */
export const ask = Effect.fnUntraced(function*(control: Control, what: string, request: Request) {
  const refused = (error: string, detail: string) =>
    EmbeddedKafkaError.make(
      new EmbeddedKafkaError.RequestRefused({ request: what, error, detail })
    )
  const line = yield* converse(control, JSON.stringify({ ...request, token: control.token })).pipe(
    Effect.mapError((detail) => refused("NoAnswer", detail)),
    Effect.timeoutOrElse({
      duration: answerLimit,
      orElse: () => Effect.fail(refused("NoAnswer", `nothing within ${answerLimit}`))
    })
  )
  const answer = yield* parse(line).pipe(Effect.mapError((detail) => refused("NoAnswer", detail)))
  if (answer.error !== undefined) {
    return yield* refused(answer.error, answer.message ?? "")
  }
})

const converse = (control: Control, line: string): Effect.Effect<string, string> =>
  Effect.callback<string, string>((resume) => {
    const socket = connect({ host: "127.0.0.1", port: control.port })
    let answer = ""
    socket.setEncoding("utf8")
    socket.on("connect", () => socket.write(`${line}\n`))
    socket.on("data", (text: string) => {
      answer = (answer + text).slice(0, answerBytes)
    })
    socket.on("end", () => resume(Effect.succeed(answer)))
    socket.on("error", (error) => resume(Effect.fail(error.message)))
    return Effect.sync(() => socket.destroy())
  })

const parse = (line: string): Effect.Effect<{ error?: string; message?: string }, string> =>
  Effect.try({
    try: () => JSON.parse(line),
    catch: () => `the answer was cut short: ${JSON.stringify(line.slice(0, 100))}`
  })
