/**
 * The TypeScript in documents and in docstrings, as programs that can be checked and run.
 *
 * A fence that begins with three backticks and `ts` is type-checked. `ts run` is run as well: on a
 * real broker, whose address stands in for `localhost:9092`, and with a topic named `orders`.
 */

export interface Snippet {
  /** The file it is in and the line of its first line, which also names the program. */
  readonly path: string
  readonly line: number
  readonly run: boolean
  readonly code: string
}

/** The snippets of a document, or of the docstrings of a module. */
export const snippetsOf = (path: string, text: string): ReadonlyArray<Snippet> => {
  const found: Array<Snippet> = []
  let open: { readonly line: number; readonly run: boolean; readonly code: Array<string> } | null =
    null
  for (const [index, raw] of text.split("\n").entries()) {
    const line = path.endsWith(".ts") ? docLine(raw) : raw
    if (open !== null && (line === null || line.startsWith("```"))) {
      found.push({ path, line: open.line, run: open.run, code: open.code.join("\n") })
      open = null
    } else if (open !== null) {
      open.code.push(line ?? "")
    } else if (line?.startsWith("```ts")) {
      open = { line: index + 2, run: line.trim() === "```ts run", code: [] }
    }
  }
  return found
}

/** A line of a docstring without its star, or `null` where the line is code. */
const docLine = (line: string): string | null => /^\s*\* ?(?!\/)(.*)$/.exec(line)?.[1] ?? null

/** `README.md` at line 40 becomes `README.md-40.ts`. */
export const fileNameOf = ({ path, line }: Snippet): string =>
  `${path.replaceAll("/", "_").replace(/\.ts$/, "")}-${line}.ts`

/** The files of this repository that a document links to or names in backticks. */
export const namedFiles = (path: string, text: string): ReadonlyArray<string> => {
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/") + 1) : ""
  const prose = text.replaceAll(/^```[^]*?^```/gm, "")
  const links = [...prose.matchAll(/\]\((?!\w+:|#)([^)#]+)(?:#[^)]*)?\)/g)]
  const quoted = [...prose.matchAll(/`((?:packages|examples|scripts|docs)\/[\w./-]+)`/g)]
  return [
    ...links.map((match) => `${folder}${match[1]}`),
    ...quoted.map((match) => match[1] ?? "")
  ]
}

/** The npm scripts that a document tells to run. */
export const npmScripts = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1] ?? "")
