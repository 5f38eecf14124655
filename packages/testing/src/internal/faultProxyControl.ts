/** What a fault proxy does when it is asked over HTTP: the routes behind `FaultProxyServer`. */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerError } from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import type { FaultProxy } from "../FaultProxy.ts"
import type { FaultProxyError } from "../FaultProxyError.ts"
import * as FaultProxyRule from "../FaultProxyRule.ts"
import { type HeldRule, type HeldRules, neverFired } from "./faultProxyHeldRules.ts"
import { bigintToText } from "./faultProxyLog.ts"

/** What the caller did wrong, where no reason of the proxy's own says it. */
class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  status: Schema.Literals([400, 404, 413]),
  problem: Schema.String
}) {}

type Response = HttpServerResponse.HttpServerResponse

type Handled = Effect.Effect<
  Response,
  FaultProxyError | BadRequest,
  HttpServerRequest | HttpRouter.RouteContext
>

/** How long a caller waits for a rule to act where it does not say. */
const firedWithinMillis = 30_000

export const routes = (proxy: FaultProxy, rules: HeldRules) => {
  const answer = (
    method: "GET" | "POST" | "DELETE" | "*",
    path: HttpRouter.PathInput,
    handled: Handled
  ) =>
    HttpRouter.route(method, path, Effect.catch(handled, (error) => Effect.succeed(refuse(error))))
  return [
    answer("POST", "/rules", inject(rules)),
    answer("GET", "/rules", list(rules)),
    answer("GET", "/rules/:id/fired", awaitFired(rules)),
    answer("DELETE", "/rules/:id", remove(rules)),
    answer("POST", "/gates/:gate/release", release(proxy)),
    answer("POST", "/blackhole", blackhole(proxy)),
    answer("POST", "/refuse", done(proxy.refuse)),
    answer("POST", "/heal", done(proxy.heal)),
    answer("POST", "/reset", Effect.map(proxy.resetAll, (connections) => json({ connections }))),
    answer("GET", "/connections", connections(proxy)),
    answer("GET", "/log", log(proxy)),
    answer("*", "*", notFound)
  ]
}

const json = (body: unknown, status = 200): Response =>
  HttpServerResponse.text(JSON.stringify(body, bigintToText), {
    status,
    contentType: "application/json"
  })

const done = (effect: Effect.Effect<void>): Handled =>
  Effect.as(effect, HttpServerResponse.empty({ status: 204 }))

const statuses: Readonly<Record<FaultProxyError["reason"]["_tag"], number>> = {
  InvalidRule: 400,
  RuleNeverFired: 409,
  NothingHeld: 409,
  // None of these can be caused over HTTP: they are about making a proxy.
  InvalidSchedule: 500,
  ListenFailed: 500,
  InvalidCertificate: 500,
  TargetUnreachable: 500,
  NotKafka: 500,
  FrameNotSeen: 500
}

const refuse = (error: FaultProxyError | BadRequest): Response => {
  if (error._tag === "BadRequest") {
    const { problem: message, status } = error
    const _tag = status === 404 ? "NotFound" : "InvalidRequest"
    return json({ error: { _tag, message } }, status)
  }
  const { reason } = error
  return json(
    { error: { ...reason, _tag: reason._tag, message: reason.message } },
    statuses[reason._tag]
  )
}

const notFound: Handled = Effect.flatMap(
  HttpServerRequest,
  ({ method, url }) =>
    Effect.fail(new BadRequest({ status: 404, problem: `there is no ${method} ${url}` }))
)

const body: Effect.Effect<unknown, BadRequest, HttpServerRequest> = Effect.flatMap(
  HttpServerRequest,
  (request) => Effect.mapError(request.json, unreadable)
)

const unreadable = ({ reason }: HttpServerError): BadRequest =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
    ? new BadRequest({ status: 413, problem: "the body is too large" })
    : new BadRequest({ status: 400, problem: "the body is no JSON" })

const inject = (rules: HeldRules): Handled =>
  Effect.gen(function*() {
    const rule = yield* FaultProxyRule.decode(yield* body)
    const { id, injected } = yield* rules.add(rule)
    return json({ id, name: injected.name }, 201)
  })

const describe = ({ id, injected, rule }: HeldRule) =>
  Effect.map(injected.hits, (hits) => ({
    id,
    name: injected.name,
    hits,
    rule: Schema.encodeSync(FaultProxyRule.FaultProxyRule)(rule)
  }))

const list = (rules: HeldRules): Handled =>
  Effect.map(Effect.flatMap(rules.all, Effect.forEach(describe)), (all) => json(all))

const ruleOf = (rules: HeldRules): Effect.Effect<HeldRule, BadRequest, HttpRouter.RouteContext> =>
  Effect.flatMap(HttpRouter.params, ({ id }) => {
    const held = rules.get(Number(id))
    return held === undefined
      ? Effect.fail(new BadRequest({ status: 404, problem: `there is no rule ${id}` }))
      : Effect.succeed(held)
  })

const awaitFired = (rules: HeldRules): Handled =>
  Effect.gen(function*() {
    const { injected } = yield* ruleOf(rules)
    const duration = yield* count("within", firedWithinMillis)
    const entry = yield* Effect.timeoutOrElse(injected.fired, {
      duration,
      orElse: () => neverFired("fired", injected)
    })
    return json(entry)
  })

const remove = (rules: HeldRules): Handled =>
  Effect.gen(function*() {
    const held = yield* ruleOf(rules)
    const hits = yield* rules.remove(held)
    return json({ id: held.id, name: held.injected.name, hits })
  })

const release = (proxy: FaultProxy): Handled =>
  Effect.gen(function*() {
    const { gate = "" } = yield* HttpRouter.params
    return json({ released: yield* proxy.release(gate) })
  })

const Blackhole = Schema.Struct({ direction: Schema.Literals(["both", "requests", "responses"]) })

const blackhole = (proxy: FaultProxy): Handled =>
  Effect.gen(function*() {
    const { direction } = yield* Schema.decodeUnknownEffect(Blackhole)(yield* body, {
      onExcessProperty: "error"
    }).pipe(
      Effect.catchTag("SchemaError", ({ message }) =>
        Effect.fail(
          new BadRequest({ status: 400, problem: message.replaceAll("\n ", "") })
        ))
    )
    return yield* done(proxy.blackhole(direction))
  })

const connections = (proxy: FaultProxy): Handled =>
  Effect.gen(function*() {
    const { malformed, open, opened } = proxy.connections
    return json({
      open: Object.fromEntries(yield* open),
      opened: yield* opened,
      malformed: yield* malformed
    })
  })

const log = (proxy: FaultProxy): Handled =>
  Effect.gen(function*() {
    const after = yield* count("after", 0)
    const entries = yield* proxy.log.entries
    const lines = entries.filter(({ position }) => position >= after).map((entry) =>
      `${JSON.stringify(entry, bigintToText)}\n`
    )
    return HttpServerResponse.text(lines.join(""), { contentType: "application/x-ndjson" })
  })

/** A number in the query. */
const count = (name: string, fallback: number) =>
  Effect.flatMap(HttpServerRequest, ({ url }) => {
    const text = new URL(url, "http://127.0.0.1").searchParams.get(name)
    if (text === null) return Effect.succeed(fallback)
    return /^\d{1,9}$/.test(text)
      ? Effect.succeed(Number(text))
      : Effect.fail(
        new BadRequest({ status: 400, problem: `"${name}" is no whole number: ${text}` })
      )
  })
