/**
 * The address of a broker: a name, IPv4, or IPv6 in brackets, and a port.
 */
import { isIPv6 } from "node:net"

export interface Address {
  /** Without brackets. */
  readonly host: string
  readonly port: number
}

const pattern = /^(?:\[([^[\]\s]+)\]|([^:\s/@[\]]+)):(\d{1,5})$/

/** `null` for a text that is none. */
export const parse = (text: string): Address | null => {
  const [, bracketed, name = bracketed, digits] = pattern.exec(text) ?? []
  const port = Number(digits)
  if (name === undefined || !(port >= 1 && port <= 65_535)) return null
  return bracketed !== undefined && !isIPv6(bracketed) ? null : { host: name, port }
}

export const keyOf = ({ host, port }: Address): string =>
  isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
