/**
 * Reads from the end of a log why a broker did not start: pure, a table over its text.
 */
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"

export interface Evidence {
  readonly detail: string
  readonly logTail: string
  readonly logFile: string
  readonly maximumHeapMegabytes: number
  /** The port that the user asked for. */
  readonly port: number | null
}

const memory = new RegExp(
  "OutOfMemoryError|Could not reserve enough space|insufficient memory|Too small maximum heap|" +
    "Initial heap size set to a larger value|GC triggered before VM initialization completed"
)

export const classify = (evidence: Evidence): EmbeddedKafkaError.Reason => {
  const { detail, logFile, logTail } = evidence
  const text = `${logTail}\n${detail}`
  if (memory.test(text)) {
    const { maximumHeapMegabytes } = evidence
    return new EmbeddedKafkaError.OutOfMemory({ maximumHeapMegabytes, logTail, logFile })
  }
  const bind = /failed to bind to [^\s]*:(\d+)/.exec(text)
  if (bind !== null) {
    const port = Number(bind[1])
    const option = port === evidence.port ? "port" : null
    return new EmbeddedKafkaError.PortInUse({ port, option })
  }
  const feature = /Unsupported feature: .*|No feature:.*/.exec(text)
  if (feature !== null) {
    return new EmbeddedKafkaError.BadOption({ option: "features", detail: feature[0] })
  }
  const config = /ConfigException: (.*)/.exec(text)
  if (config !== null) {
    return new EmbeddedKafkaError.BadOption({ option: "properties", detail: config[1] ?? "" })
  }
  return new EmbeddedKafkaError.BrokerFailed({ detail, logTail, logFile })
}
