/**
 * The address of a broker, as text.
 */
import type { Address } from "@kafka-once/core/ConnectionOptions"
import { isIPv6 } from "node:net"

export type { Address }

export const keyOf = ({ host, port }: Address): string =>
  isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
