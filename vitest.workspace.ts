import { existsSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config"
import { longSuites } from "./scripts/longSuites.ts"

// Workspace packages are resolved from their sources, so that tests need no build.
const conditions = ["@kafka-once/source", "module", "node", "development|production"]

const slow = process.env["KAFKA_ONCE_SLOW"] === "1"

// "short" leaves the long suites out, "long" runs nothing else; without it both are run.
const suites = process.env["KAFKA_ONCE_SUITES"]
const long = longSuites.map((name) => `**/${name}.test.ts`)

// Projects whose test files share one broker; it is started when one of them runs.
const sharesBroker: ReadonlyArray<string> = ["proof", "testing"]
// By its file, because a setup is resolved before the conditions above count.
const sharedBroker = fileURLToPath(
  new URL("packages/testing/src/SharedKafkaSetup.ts", import.meta.url)
)

const project = (
  name: string,
  root: string,
  tests = "test/**"
): TestProjectInlineConfiguration => ({
  extends: true,
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    name,
    root,
    globalSetup: sharesBroker.includes(name) ? [sharedBroker] : [],
    include: suites === "long"
      ? long
      : [slow ? `${tests}/*.slow.test.ts` : `${tests}/*.test.ts`],
    exclude: [
      "**/node_modules/**",
      ...slow ? [] : ["**/*.slow.test.ts"],
      ...suites === "short" ? long : []
    ],
    testTimeout: 60_000,
    hookTimeout: 180_000
  }
})

const packages = readdirSync(new URL("packages", import.meta.url))
  .filter((name) => existsSync(new URL(`packages/${name}/test`, import.meta.url)))

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      ...packages.map((name) => project(name, `./packages/${name}`)),
      // An example that is a suite stands beside the other examples.
      project("examples", "./examples", "**"),
      project("scripts", "./scripts")
    ]
  }
})
