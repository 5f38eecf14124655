import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { randomInt } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { findJar } from "../scripts/generateProtocol.ts"
import * as Frame from "../src/internal/protocol/frame.ts"
import { apis } from "../src/internal/protocol/generated/apis.ts"
import { makeRandom, randomMessage } from "./protocolMessages.ts"

const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? randomInt(2 ** 31))

// Reads "key version request|response base64" lines, and prints what Kafka's own class for the
// message makes of the same bytes when it writes them again.
const program = `
import java.io.*;
import java.nio.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.message.ApiMessageType;
public class Reencode {
  public static void main(String[] args) throws Exception {
    BufferedReader in =
      new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    StringBuilder out = new StringBuilder();
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] part = line.split(" ", -1);
      ApiMessageType type = ApiMessageType.fromApiKey(Short.parseShort(part[0]));
      short version = Short.parseShort(part[1]);
      ByteBuffer bytes = ByteBuffer.wrap(Base64.getDecoder().decode(part[3]));
      try {
        ApiMessage message = part[2].equals("request") ? type.newRequest() : type.newResponse();
        message.read(new ByteBufferAccessor(bytes), version);
        ByteBuffer again = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] copy = new byte[again.remaining()];
        again.get(copy);
        out.append(bytes.remaining()).append(' ').append(Base64.getEncoder().encodeToString(copy));
      } catch (Exception e) {
        out.append("failed ").append(e.toString().replace('\\n', ' '));
      }
      out.append('\\n');
    }
    System.out.print(out);
  }
}
`

interface Sample {
  readonly title: string
  readonly line: string
  readonly base64: string
}

const makeSamples = (): ReadonlyArray<Sample> => {
  const next = makeRandom(seed)
  const samples: Array<Sample> = []
  for (const api of apis) {
    for (let version = api.versions[0]; version <= api.versions[1]; version++) {
      for (const direction of ["request", "response"] as const) {
        for (let round = 0; round < 5; round++) {
          const options = { next, flexible: version >= api.flexible, omitDefaults: true }
          const body = randomMessage(api[direction], version, options)
          const name = api.name as Frame.ApiName
          const base64 = Frame.encodeBodyUnsafe(name, direction, version, body).toString("base64")
          samples.push({
            title: `${name} v${version} ${direction}`,
            line: `${api.key} ${version} ${direction} ${base64}`,
            base64
          })
        }
      }
    }
  }
  return samples
}

describe(`against Kafka's own message classes (seed ${seed})`, () => {
  it("every message that the codec writes is read and written alike by kafka-clients", () => {
    const folder = mkdtempSync(join(tmpdir(), "kafka-once-protocol-"))
    const samples = makeSamples()
    const source = join(folder, "Reencode.java")
    writeFileSync(source, program)
    const jars = [findJar(), slf4j(findJar())].join(delimiter)
    const output = execFileSync("java", ["-cp", jars, source], {
      input: `${samples.map((sample) => sample.line).join("\n")}\n`,
      maxBuffer: 256 * 1024 * 1024,
      encoding: "utf8"
    })
    rmSync(folder, { recursive: true })
    const answers = output.trimEnd().split("\n")
    assert.strictEqual(answers.length, samples.length)
    const different = samples.flatMap((sample, index) =>
      answers[index] === `0 ${sample.base64}` ? [] : [`${sample.title}: ${answers[index]}`]
    )
    assert.deepStrictEqual(different.slice(0, 20), [])
  })
})

/** The only library that kafka-clients needs to load these classes, from the same repository. */
const slf4j = (jar: string): string =>
  join(jar, "../../../../../../org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar")
