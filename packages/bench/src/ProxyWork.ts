/**
 * What the fault proxy costs while no rule matches: the same transactions with and without it.
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as Effect from "effect/Effect"
import type { Length } from "./Arguments.ts"
import type { Line } from "./Figure.ts"
import * as RawKafkaJs from "./RawKafkaJs.ts"
import * as Records from "./Records.ts"
import * as Rounds from "./Rounds.ts"

/** A request of 60 KB, and one of 400 KB, which passes in several reads. */
const valueSizes = [100, 800]

const names = { proxied: "through the fault proxy", direct: "direct" }

/** Transactions of 500 records of raw kafkajs, with the proxy in this process. */
export const proxy = (length: Length) =>
  Effect.scoped(Effect.gen(function*() {
    const proxy = yield* FaultProxy.make()
    const kafka = yield* EmbeddedKafka.make({ proxiedPorts: [proxy.port] })
    const port = Number(kafka.proxied[0]?.upstream.split(":")[1])
    yield* proxy.connectTo({ host: "127.0.0.1", port })
    const topic = "proxied"
    yield* kafka.createTopic(topic)
    const contender = (transactionalId: string, brokers: ReadonlyArray<string>) =>
      RawKafkaJs.make({ brokers, topic, transactionalId, initialRetryTimeMillis: 2 })
    const direct = yield* contender("proxy-direct", kafka.bootstrapServers)
    const proxied = yield* contender("proxy-proxied", [`${proxy.host}:${proxy.port}`])
    const measure = (valueBytes: number) => {
      const records = Records.make(topic, 500, valueBytes)
      const count = length === "short" ? 8 : 15
      const run = (from: RawKafkaJs.RawKafkaJs) => (count: number) =>
        from.transactions(count, records.raw)
      return Rounds.run({
        work: `500 records of ${valueBytes} bytes, fault proxy without a rule`,
        seconds: Rounds.wallSeconds,
        rounds: length === "short" ? 7 : 25,
        warmUpRounds: 4,
        contenders: [
          { name: names.proxied, count, run: run(proxied) },
          { name: names.direct, count, run: run(direct) }
        ]
      })
    }
    const lines = yield* Effect.forEach(valueSizes, (valueBytes) =>
      Effect.map(measure(valueBytes), linesOf))
    return lines.flat()
  }))

const linesOf = (rates: Rounds.Rates): ReadonlyArray<Line> => [
  ...Object.values(names).map((name) => ({
    figure: Rounds.figure(rates, name, "transactions/s"),
    goal: null
  })),
  {
    figure: Rounds.ratio(rates, names.proxied, names.direct),
    goal: { is: "at least", value: 0.9 }
  }
]
