import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync } from "node:fs"
import { delimiter } from "node:path"
import * as Command from "../src/Command.ts"
import * as JavaProgram from "../src/JavaProgram.ts"
import * as Machine from "../src/Machine.ts"
import * as StreamsJars from "../src/StreamsJars.ts"
import * as TemporaryFolder from "../src/TemporaryFolder.ts"

describe("a command", () => {
  it.live("that fails is told with its code, and with what it has said", () =>
    Effect.gen(function*() {
      const script = "console.log('out'); console.error('why'); process.exitCode = 3"
      const error = yield* Effect.flip(Command.run(process.execPath, ["-e", script]))
      assert.match(error.message, /ended with 3:\n/)
      for (const said of ["out", "why"]) assert.include(error.message, said)
    }))

  it.live("that is not there is told by its name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Command.run("/no/such/command", []))
      assert.match(error.message, /^\/no\/such\/command cannot be run: .*ENOENT/)
    }))

  it.live("that succeeds says nothing", () =>
    Command.run(process.execPath, ["-e", "console.log('out')"]))
})

describe("a temporary folder", () => {
  it.effect("goes with its scope, with all that is in it", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.scoped(
        Effect.tap(TemporaryFolder.make, (folder) =>
          Effect.sync(() => assert.isTrue(existsSync(folder))))
      )
      assert.isFalse(existsSync(folder))
    }))
})

describe("a Java program", () => {
  it.live("is compiled with what it shares, into a folder that goes with its scope", () =>
    Effect.gen(function*() {
      // It needs no jar but what it shares with the others.
      const folder = yield* Effect.scoped(Effect.gen(function*() {
        const { args } = yield* JavaProgram.compile("PipelineWatch", "no.jar")
        const folder = args[args.indexOf("-cp") + 1]!.split(delimiter)[0]!
        assert.includeMembers(readdirSync(folder), ["PipelineWatch.class", "ProcessFigures.class"])
        return folder
      }))
      assert.isFalse(existsSync(folder))
    }))

  it.live("that does not compile is told in the compiler's words", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.scoped(JavaProgram.compile("CommittedTopic", "no.jar"))
      )
      assert.include(error.message, "package org.apache.kafka.clients.consumer does not exist")
    }))
})

describe("the versions", () => {
  it("name the jar of Streams among others", () => {
    const jars = ["/m2/kafka-clients-4.1.0.jar", "/m2/kafka-streams-4.3.0.jar"].join(delimiter)
    assert.strictEqual(StreamsJars.versionIn(jars), "4.3.0")
    assert.isNull(StreamsJars.versionIn("/m2/kafka-clients-4.1.0.jar"))
  })

  it("name what takes part, and nothing else", () => {
    const all = Machine.versions({ kafka: "4.4.0", streams: "4.3.0" })
    assert.match(
      all,
      /^Node \d.*, effect \d.*, kafkajs \d.*, @platformatic\/kafka \d.*, Apache Kafka and /
    )
    assert.isTrue(all.endsWith("Kafka Streams 4.3.0"))
    assert.match(
      Machine.versions({ kafka: null, streams: null }),
      /^Node .*, effect .*, no broker$/
    )
  })
})
