import { existsSync, readdirSync } from "node:fs"
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config"

// Workspace packages are resolved from their sources, so that tests need no build.
const conditions = ["@kafka-once/source", "module", "node", "development|production"]

const slow = process.env["KAFKA_ONCE_SLOW"] === "1"

const project = (name: string, root: string): TestProjectInlineConfiguration => ({
  extends: true,
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    name,
    root,
    include: slow ? ["test/**/*.slow.test.ts"] : ["test/**/*.test.ts"],
    exclude: slow ? [] : ["test/**/*.slow.test.ts"],
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
      project("examples", "./examples"),
      project("scripts", "./scripts")
    ]
  }
})
