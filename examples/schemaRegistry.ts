/**
 * A schema registry in this process, over HTTP: the two requests that Confluent's clients make. It
 * stands for a real one, which answers the same.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

export interface SchemaRegistry {
  readonly url: string
  /** The requests so far, as "GET /schemas/ids/1". */
  readonly requests: () => ReadonlyArray<string>
  /** Whether it answers each request with 503, as one does that is being restarted. */
  readonly setDown: (isDown: boolean) => void
}

const decodeNewVersion = Schema.decodeUnknownEffect(Schema.Struct({ schema: Schema.String }))

const json = (body: unknown, status = 200) =>
  HttpServerResponse.text(JSON.stringify(body), {
    status,
    contentType: "application/vnd.schemaregistry.v1+json"
  })

/** Serves a registry without schemas on a free port of 127.0.0.1, until the scope closes. */
export const serve = Effect.gen(function*() {
  const schemas: Array<string> = []
  const requests: Array<string> = []
  let isDown = false

  const route = <R>(
    method: "GET" | "POST",
    path: HttpRouter.PathInput,
    answer: Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, R>
  ) =>
    HttpRouter.route(
      method,
      path,
      Effect.flatMap(HttpServerRequest, ({ url }) => {
        requests.push(`${method} ${url}`)
        const unavailable = json({ error_code: 50003, message: "is being restarted" }, 503)
        return isDown
          ? Effect.succeed(unavailable)
          : Effect.orElseSucceed(
            answer,
            () => json({ error_code: 42201, message: "no schema" }, 422)
          )
      })
    )

  const router = yield* HttpRouter.make
  yield* router.addAll([
    route(
      "GET",
      "/schemas/ids/:id",
      Effect.map(HttpRouter.params, ({ id }) => {
        const schema = schemas[Number(id) - 1]
        return schema === undefined
          ? json({ error_code: 40403, message: `Schema ${id} not found` }, 404)
          : json({ schema })
      })
    ),
    route(
      "POST",
      "/subjects/:subject/versions",
      Effect.gen(function*() {
        const request = yield* HttpServerRequest
        const { schema } = yield* decodeNewVersion(yield* request.json)
        if (!schemas.includes(schema)) schemas.push(schema)
        return json({ id: schemas.indexOf(schema) + 1 })
      })
    )
  ])
  const server = createServer()
  const http = yield* NodeHttpServer.make(() => server, {
    host: "127.0.0.1",
    port: 0,
    disablePreemptiveShutdown: true
  })
  yield* http.serve(router.asHttpEffect())
  const { port } = server.address() as AddressInfo
  const registry: SchemaRegistry = {
    url: `http://127.0.0.1:${port}`,
    requests: () => requests,
    setDown: (down) => {
      isDown = down
    }
  }
  return registry
})
