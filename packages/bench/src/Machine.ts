/**
 * Where the figures come from: the machine and the versions.
 */
import { readFileSync } from "node:fs"
import { findPackageJSON } from "node:module"
import { cpus, loadavg, release, totalmem } from "node:os"

const versionOf = (name: string): string => {
  const file = findPackageJSON(name, import.meta.url)
  if (file === undefined) throw new Error(`${name} is not installed`)
  return (JSON.parse(readFileSync(file, "utf8")) as { readonly version: string }).version
}

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

/** Names the versions of what is measured; `null` is what takes no part. */
export const versions = (
  { kafka, streams }: { readonly kafka: string | null; readonly streams: string | null }
): string =>
  [
    `Node ${process.versions.node}`,
    `effect ${versionOf("effect")}`,
    ...kafka === null ? ["no broker"] : [
      `kafkajs ${versionOf("kafkajs")}`,
      `@platformatic/kafka ${versionOf("@platformatic/kafka")}`,
      `Apache Kafka and its Java client ${kafka}`
    ],
    ...streams === null ? [] : [`Kafka Streams ${streams}`]
  ].join(", ")
