/**
 * Where the figures come from: the machine and the versions.
 */
import { createRequire } from "node:module"
import { cpus, loadavg, release, totalmem } from "node:os"

const require = createRequire(import.meta.url)

const versionOf = (name: string): string =>
  (require(`${name}/package.json`) as { readonly version: string }).version

/** Describes the machine, and how busy it is already. */
export const describe = (): string => {
  const processors = cpus()
  const gigabytes = (totalmem() / 2 ** 30).toFixed(0)
  const load = loadavg()[0]!
  const busy = load > processors.length / 2 ? ", busy: trust the ratios alone" : ""
  return `${processors.length} × ${processors[0]?.model.trim() ?? "unknown processor"}, ` +
    `${gigabytes} GB, ${process.platform} ${release()} ${process.arch}, ` +
    `load ${load.toFixed(1)}${busy}`
}

/** Names the versions of what is measured. */
export const versions = (kafka: string | null): string =>
  `Node ${process.versions.node}, effect ${versionOf("effect")}, ` +
  (kafka === null ? "no broker" : `kafkajs ${versionOf("kafkajs")}, Apache Kafka ${kafka}`)
