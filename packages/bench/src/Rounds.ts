/**
 * Contenders that take turns: every round has each of them once, so that a slow moment of the
 * machine meets all, and a ratio is taken within one round.
 */
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Figure from "./Figure.ts"

/** One way of doing a work. */
export interface Contender<E = never, R = never> {
  readonly name: string
  /** How often it does the work in one round. */
  readonly count: number
  readonly run: (count: number) => Effect.Effect<void, E, R>
}

/** How often each contender has done the work a second, round by round. */
export interface Rates {
  readonly work: string
  readonly byContender: ReadonlyMap<string, ReadonlyArray<number>>
}

/** The time on the wall, for work that waits for a broker. */
export const wallSeconds: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos) / 1e9
)

/**
 * The time that this process was given by processors, its garbage collection and compilation
 * included: for work that never waits, and on a machine that does other work, too.
 */
export const processorSeconds: Effect.Effect<number> = Effect.sync(() => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
})

/** Runs the rounds, after some that do not count; `seconds` is the clock. */
export const run = <E, R>(options: {
  readonly work: string
  readonly contenders: ReadonlyArray<Contender<E, R>>
  readonly rounds: number
  readonly warmUpRounds: number
  readonly seconds: Effect.Effect<number>
}): Effect.Effect<Rates, E, R> =>
  Effect.gen(function*() {
    const { contenders, rounds, seconds, warmUpRounds, work } = options
    const byContender = new Map(contenders.map(({ name }) => [name, [] as Array<number>]))
    yield* Console.error(`${work}: ${contenders.length} contenders, ${rounds} rounds`)
    for (let round = -warmUpRounds; round < rounds; round++) {
      for (let turn = 0; turn < contenders.length; turn++) {
        // Another one begins each round: what follows a heavy contender may pay for its garbage.
        const { count, name, run } = contenders[(round + warmUpRounds + turn) % contenders.length]!
        const startedAt = yield* seconds
        yield* run(count)
        const took = (yield* seconds) - startedAt
        if (round >= 0) byContender.get(name)!.push(count / took)
      }
    }
    return { work, byContender }
  })

const ratesOf = ({ byContender, work }: Rates, contender: string): ReadonlyArray<number> => {
  const rates = byContender.get(contender)
  if (rates === undefined) throw new Error(`"${contender}" took no part in "${work}"`)
  return rates
}

/** How often a contender has done the work a second. */
export const figure = (rates: Rates, contender: string, unit: string): Figure.Figure =>
  Figure.make({ work: rates.work, contender, unit }, ratesOf(rates, contender))

/** How many times as fast one contender was as another, round by round. */
export const ratio = (rates: Rates, contender: string, other: string): Figure.Figure => {
  const others = ratesOf(rates, other)
  return Figure.make(
    { work: rates.work, contender: `${contender} ÷ ${other}`, unit: "ratio" },
    ratesOf(rates, contender).map((rate, round) => rate / others[round]!)
  )
}

/** How many microseconds more one contender took than another, round by round. */
export const cost = (
  rates: Rates,
  name: string,
  pair: { readonly of: string; readonly without: string }
): Figure.Figure => {
  const without = ratesOf(rates, pair.without)
  return Figure.make(
    { work: rates.work, contender: name, unit: "µs" },
    ratesOf(rates, pair.of).map((rate, round) => 1e6 / rate - 1e6 / without[round]!)
  )
}
