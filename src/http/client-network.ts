import { isIP, isIPv6 } from 'node:net';
import { listOf } from '../config.js';

/** Ranges that TRUST_PROXY may name instead of an address. */
const RANGES = ['loopback', 'linklocal', 'uniquelocal'];

/**
 * The proxies whose `X-Forwarded-*` headers are believed, as Fastify takes them; false for none.
 * @throws Error when an entry is neither an address nor a range
 */
export function trustedProxies(setting: string): string[] | false {
  const entries = listOf(setting);
  for (const entry of entries) {
    if (RANGES.includes(entry) || isIP(entry.split('/', 1)[0] ?? '') !== 0) continue;
    throw new Error(
      `TRUST_PROXY: "${entry}" is not an address. Write addresses (10.0.0.1), networks (10.0.0.0/8), or ` +
        `${RANGES.join(', ')}.`,
    );
  }
  return entries.length === 0 ? false : entries;
}

/** `address`, or as some proxies write it: `1.2.3.4:port`, `[address]:port`. */
const FORWARDED = /^\[?(?<address>[^[\]]*?)\]?(?::\d+)?$/;
const IPV6_GROUPS = 8;
/** The groups that a provider assigns: every client has the other half to itself, 2^64 addresses. */
const NETWORK_GROUPS = 4;
const MAPPED_IPV4 = '0:0:0:0:0:ffff';

/**
 * Whom a limit counts: an IPv4 address, also where it is written as IPv6 (`::ffff:1.2.3.4`), or the /64 of an IPv6
 * address.
 */
export function networkOf(client: string): string {
  const address = isIPv6(client) ? client : (FORWARDED.exec(client)?.groups?.address ?? client);
  if (!isIPv6(address)) return address.toLowerCase();
  const groups = groupsOf(address);
  if (groups.slice(0, 6).join(':') === MAPPED_IPV4) return ipv4Of(groups.slice(6));
  return `${groups.slice(0, NETWORK_GROUPS).join(':')}::/64`;
}

/** The eight groups of an IPv6 address, without leading zeros. */
function groupsOf(address: string): string[] {
  const [withoutZone = ''] = address.split('%', 1);
  // The parser of URLs writes every address in one way, IPv4 at its end included.
  const canonical = new URL(`http://[${withoutZone}]`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const before = head === '' ? [] : head.split(':');
  if (tail === undefined) return before;
  const after = tail === '' ? [] : tail.split(':');
  return [...before, ...Array<string>(IPV6_GROUPS - before.length - after.length).fill('0'), ...after];
}

const ipv4Of = (groups: readonly string[]): string =>
  groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]).join('.');
