/**
 * A contender of the pipelines, in a process of its own.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as LineProcess from "./LineProcess.ts"
import { type Done, hear, type Job, toLine, type Word } from "./PipelineJob.ts"

/** A contender that is ready. */
export interface PipelineContender {
  /** Answers when all records of the job are committed; `heard` is told what it says till then. */
  readonly run: (job: Job, heard?: (word: Word) => void) => Effect.Effect<Done, Error>
}

/** A Node contender by its name in `PipelineProgram.ts`. */
export const node = (
  name: string,
  brokers: ReadonlyArray<string>
): Effect.Effect<PipelineContender, Error, Scope.Scope> =>
  Effect.map(LineProcess.node("PipelineProgram.ts", [name, brokers.join(",")]), contender)

/** The same compiled, which {@link LineProcess.compile} has done, with flags for Node. */
export const compiled = (
  name: string,
  brokers: ReadonlyArray<string>,
  nodeFlags: ReadonlyArray<string>
): Effect.Effect<PipelineContender, Error, Scope.Scope> =>
  Effect.map(
    LineProcess.compiled("PipelineProgram.ts", [name, brokers.join(",")], nodeFlags),
    contender
  )

/** A Java contender by its class. */
export const java = (
  name: string,
  classPath: string,
  args: ReadonlyArray<string>
): Effect.Effect<PipelineContender, Error, Scope.Scope> =>
  Effect.map(LineProcess.java(name, classPath, args), contender)

const contender = (process: LineProcess.LineProcess): PipelineContender => ({
  run: (job, heard) =>
    process.ask(toLine(job), (line) => {
      const word = hear(line)
      if (word === null) return null
      heard?.(word)
      return word._tag === "Done" ? word.done : null
    })
})
