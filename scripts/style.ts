/**
 * The style that neither the formatter nor the linter knows, as rules over the text of one file.
 *
 * Every rule carries a sample that breaks it and one that keeps it, so that no rule can be empty.
 */

export interface Rule {
  readonly name: string
  readonly applies: (path: string) => boolean
  /** What is wrong, with the line from 1, or 0 for the file as a whole. */
  readonly check: (text: string, path: string) => ReadonlyArray<readonly [number, string]>
  readonly breaks: { readonly path: string; readonly text: string }
  readonly keeps: { readonly path: string; readonly text: string }
}

const isSource = (path: string): boolean => /\.(ts|mjs)$/.test(path)
const isTest = (path: string): boolean => path.endsWith(".test.ts")

/** A module that users import: `packages/x/src/Name.ts` of a published package. */
export const isPublicModule = (path: string): boolean =>
  /^packages\/(core|kafkajs|platformatic|testing|cli)\/src\/[A-Z]\w*\.ts$/.test(path)

const columns = 100
const lines = 500
const functionLines = 70

/** Files that may be longer, with the reason. */
const longFiles: Readonly<Record<string, string>> = {
  "packages/core/src/KafkaError.ts": "every reason of the one error is documented at its class"
}

/** The lines that a pattern finds, each with the match. */
const find = (text: string, pattern: RegExp): ReadonlyArray<readonly [number, string]> =>
  text.split("\n").flatMap((line, index) => {
    const match = pattern.exec(line)
    return match === null ? [] : [[index + 1, match[0].trim()] as const]
  })

const lineLength: Rule = {
  name: "a line has at most 100 columns",
  applies: (path) => isSource(path) || path.endsWith(".java"),
  check: (text) =>
    text.split("\n").flatMap((line, index) =>
      // An address and the row of a table cannot be broken.
      line.replace(/https?:\/\/\S+|^ *\* \|.*/, "").length > columns
        ? [[index + 1, `${line.length} columns`] as const]
        : []
    ),
  breaks: { path: "a.ts", text: `// ${"a".repeat(columns)}` },
  keeps: { path: "a.ts", text: `// https://${"a".repeat(columns)}` }
}

const fileLength: Rule = {
  name: "a file has at most 500 lines",
  applies: (path) => isSource(path) && !Object.hasOwn(longFiles, path),
  check: (text) => {
    const count = text.trimEnd().split("\n").length
    return count > lines ? [[0, `${count} lines: look for the second noun`]] : []
  },
  breaks: { path: "a.ts", text: "\n".repeat(lines) + "a" },
  keeps: { path: "a.ts", text: "\n".repeat(lines - 1) + "a" }
}

const indentOf = (line: string): number => line.length - line.trimStart().length

/** Where each function with a block begins and ends. The formatter's indentation tells. */
const blocks = (all: ReadonlyArray<string>): ReadonlyArray<readonly [number, number]> =>
  all.flatMap((line, start) => {
    if (!/=> \{$|\bfunction\*?[ (<].*\{$|^\s*\)(: .*)? \{$/.test(line)) return []
    const indent = indentOf(line)
    const length = all.slice(start + 1).findIndex((later) =>
      later.trim() !== "" && indentOf(later) <= indent
    )
    return length < 0 ? [] : [[start, start + 1 + length] as const]
  })

const functionLength: Rule = {
  name: "a function has at most 70 lines, functions within it and comments not counted",
  applies: isSource,
  check: (text) => {
    const all = text.split("\n")
    const found = blocks(all)
    return found.flatMap(([start, end]) => {
      const inner = found.filter(([from, to]) => from > start && to < end)
      const own = all.slice(start + 1, end).filter((line, index) => {
        const at = start + 1 + index
        return line.trim() !== "" && !/^\s*(\/\/|\/\*|\*)/.test(line) &&
          !inner.some(([from, to]) => at > from && at <= to)
      })
      return own.length > functionLines ? [[start + 1, `${own.length} lines`] as const] : []
    })
  },
  breaks: { path: "a.ts", text: `const f = () => {\n${"  g()\n".repeat(functionLines + 1)}}` },
  keeps: {
    path: "a.ts",
    text: `const f = () => {\n  const g = () => {\n${
      "    h()\n".repeat(functionLines)
    }  }\n  g()\n}`
  }
}

// A class of one letter, or an escape, keeps these patterns and samples from finding themselves.
const bannedWords: Rule = {
  name: "nothing is left to do later, and no check is switched off",
  applies: isSource,
  check: (text) =>
    find(text, /\b(TO[D]O|FIX[M]E|XX[X])\b|@ts-(ignor[e]|nocheck)|\bas an[y]\b|eslint-disabl[e]/),
  breaks: { path: "a.ts", text: "const a = 1 as an\u0079" },
  keeps: { path: "a.ts", text: "const todos = has(anything)" }
}

const runAll: Rule = {
  name: "no test is singled out or skipped",
  applies: isTest,
  check: (text) => find(text, /\.(onl[y]|ski[p](If)?|tod[o])\(/),
  breaks: { path: "a.test.ts", text: 'it.effect.ski\u0070("", () => {})' },
  keeps: { path: "a.test.ts", text: 'it.effect("", () => Stream.drop(1))' }
}

const fileNames: Rule = {
  name: "a file is named after the noun it holds",
  applies: isSource,
  check: (_, path) =>
    /(^|\/)(utils?|common|helpers?|misc|shared)(\/|\.)/i.test(path) ? [[0, path]] : [],
  breaks: { path: "packages/core/src/internal/utils.ts", text: "" },
  keeps: { path: "packages/core/src/internal/sharedLane.ts", text: "" }
}

const noPlaces: Rule = {
  name: "no path or address of one machine",
  applies: (path) => path !== "LICENSE" && !path.endsWith("/LICENSE"),
  check: (text, path) => [
    ...find(text, /\/wor[k]\/|\bshare[d]\/(design|conventions|reference)/),
    ...(path === "package-lock.json" ? find(text, /"resolved": "https?:\/\/[^"]+/) : []),
    ...(path.endsWith(".npmrc") ? find(text, /registry *=.*/) : [])
  ],
  breaks: { path: "package-lock.json", text: '"resolved": "https://a.example/b.tgz"' },
  keeps: { path: "package-lock.json", text: '"resolved": "packages/core"' }
}

const moduleDoc: Rule = {
  name: "a public module begins with its documentation and @since",
  applies: isPublicModule,
  check: (text) => {
    const doc = /^\/\*\*[^]*?\*\//.exec(text)?.[0] ?? ""
    return /\n \* \w/.test(doc) && doc.includes("@since ") ? [] : [[1, "no module doc"]]
  },
  breaks: { path: "packages/core/src/A.ts", text: 'import "./b.ts"\n/**\n * A.\n */' },
  keeps: { path: "packages/core/src/A.ts", text: "/**\n * A.\n *\n * @since 0.1.0\n */\n" }
}

const declaration =
  /^export (?:declare |abstract )*(?:const|let|class|function\*?|interface|type|namespace) (\w+)/

/** The comment that ends just above a line, or an empty text. */
const docAbove = (all: ReadonlyArray<string>, index: number): string => {
  if (all[index - 1]?.trim() !== "*/") return /^\/\*\*.*\*\/$/.exec(all[index - 1] ?? "")?.[0] ?? ""
  let start = index - 1
  while (start > 0 && !all[start]?.startsWith("/**")) start--
  return all.slice(start, index).join("\n")
}

const documented: Rule = {
  name: "every export of a public module is documented, with @since",
  applies: isPublicModule,
  check: (text) => {
    const all = text.split("\n")
    const seen = new Set<string>()
    return all.flatMap((line, index) => {
      const name = declaration.exec(line)?.[1]
      if (name === undefined) return []
      const doc = docAbove(all, index)
      // The overloads of a function share the documentation of the first.
      const overload = seen.has(name) && / function /.test(line)
      seen.add(name)
      return overload || (doc.includes("@since ") && /\n \* \S/.test(doc))
        ? []
        : [[index + 1, `${name} has no docstring with @since`] as const]
    })
  },
  breaks: { path: "packages/core/src/A.ts", text: "/**\n * A.\n */\nexport const a = 1" },
  keeps: {
    path: "packages/core/src/A.ts",
    text: "/**\n * A.\n * @since 0.1.0\n */\nexport type A = 1"
  }
}

const titles: Rule = {
  name: "the title of a test states a promise",
  applies: isTest,
  check: (text) =>
    [...text.matchAll(/^ *(?:it|test)(?:\.\w+)*\(\s*"((?:[^"\\]|\\.)*)"/gm)].flatMap((match) => {
      const title = match[1] ?? ""
      const wrong = title.split(" ").length < 2
        ? "says too little"
        : /^(should|test|works|check)\b/i.test(title)
        ? "promises nothing"
        : title.endsWith(".")
        ? "ends with a full stop"
        : null
      const line = text.slice(0, match.index).split("\n").length
      return wrong === null ? [] : [[line, `"${title}" ${wrong}`] as const]
    }),
  breaks: { path: "a.test.ts", text: 'it.effect("should work", () => 1)' },
  keeps: { path: "a.test.ts", text: 'it.effect("a lost commit is reported", () => 1)' }
}

export const rules: ReadonlyArray<Rule> = [
  lineLength,
  fileLength,
  functionLength,
  bannedWords,
  runAll,
  fileNames,
  noPlaces,
  moduleDoc,
  documented,
  titles
]
