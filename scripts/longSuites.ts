/**
 * The suites that `npm run verify` leaves to `npm run verify:full`, by their files' names.
 *
 * `verify` has ten minutes. What it keeps of a driver shows each promise once; these show it again
 * for a second client, over TLS, through a cut network, or on the raw client.
 */
export const longSuites: ReadonlyArray<string> = [
  "KafkaJs.config",
  "KafkaJs.defects",
  "KafkaJs.history",
  "KafkaJs.network",
  "KafkaJs.networkTls",
  "KafkaJs.outcomes",
  "KafkaJs.pipelineRefusals",
  "KafkaJs.security",
  "KafkaJs.securityToken",
  "Platformatic.badInput",
  "Platformatic.badServers",
  "Platformatic.badServersStart",
  "Platformatic.consumer",
  "Platformatic.consumerProtocol",
  "Platformatic.consumerProtocolRefused",
  "Platformatic.pipeline",
  "Platformatic.pipelineProtocol",
  "Platformatic.pipelineRefusals",
  "Platformatic.pipelineStorm",
  "Platformatic.producer",
  "Platformatic.security",
  "Platformatic.versions",
  "Platformatic.wireMatrix"
]
