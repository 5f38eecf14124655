import { assert, it } from "vitest"
import { longSuites } from "../longSuites.ts"
import { files } from "../repository.ts"

it.each(longSuites)("%s is a suite that verify leaves to verify:full", (name) => {
  assert.lengthOf(files.filter((path) => path.endsWith(`/test/${name}.test.ts`)), 1)
})
