import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { networkOf } from '../../src/http/client-network.js';
import { WrongKeys } from '../../src/http/plugins/wrong-keys.js';
import { problemOf, startServer, type TestServer } from '../server.js';

const KEY = 'a-key-that-may-write';

/** Calls as the client behind a trusted proxy, with a key of its own where `key` is a function. */
async function call(server: TestServer, key: string | undefined, client = '203.0.113.7'): Promise<Response> {
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return fetch(`${server.url}/items`, { headers: { 'x-forwarded-for': client, ...authorization } });
}

const statusOf = async (...args: Parameters<typeof call>) => (await call(...args)).status;
const guess = (i: number) => `a-wrong-key-with-number-${i}`;

describe('wrong keys', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ API_KEYS: KEY, TRUST_PROXY: '127.0.0.1' });
  });
  afterAll(() => server.close());

  it('of one address are soon refused with a pause, while the right one is accepted at once', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 30; i++) statuses.push(await statusOf(server, guess(i)));
    expect(statuses.slice(0, 10)).toEqual(Array(10).fill(401));
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(10);
    const refused = await call(server, guess(31));
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await problemOf(refused)).toMatchObject({ status: 429, code: 'rate_limited' });
    for (let i = 0; i < 5; i++) expect(await statusOf(server, KEY)).toBe(200);
    expect(await statusOf(server, guess(1), '203.0.113.8')).toBe(401);
  });

  it('of one IPv6 network count together, as do IPv4 addresses in either form', async () => {
    for (let i = 0; i < 20; i++) await statusOf(server, guess(i), `2001:db8:1:2::${i.toString(16)}`);
    expect(await statusOf(server, guess(21), '2001:db8:1:2:ffff::1')).toBe(429);
    expect(await statusOf(server, guess(21), '2001:db8:1:3::1')).toBe(401);
    for (let i = 0; i < 20; i++) await statusOf(server, guess(i), '198.51.100.9');
    expect(await statusOf(server, guess(21), '::ffff:198.51.100.9')).toBe(429);
  });

  it('are not counted for calls without a key, which reveal nothing', async () => {
    for (let i = 0; i < 30; i++) expect(await statusOf(server, undefined, '203.0.113.50')).toBe(401);
  });

  it('count for the connection, not for what it claims, when its peer is no trusted proxy', async () => {
    const direct = await startServer({ API_KEYS: KEY, TRUST_PROXY: '10.0.0.1' });
    const statuses: number[] = [];
    for (let i = 0; i < 20; i++) statuses.push(await statusOf(direct, guess(i), `203.0.113.${i}`));
    expect(statuses).toContain(429);
    await direct.close();
  });
});

describe('RATE_LIMIT', () => {
  it('also counts calls with a wrong key or without one, for each address', async () => {
    const server = await startServer({ API_KEYS: KEY, TRUST_PROXY: '127.0.0.1', RATE_LIMIT: '6' });
    const without: number[] = [];
    for (let i = 0; i < 8; i++) without.push(await statusOf(server, undefined, '2001:db8::1'));
    expect(without).toEqual([...Array(6).fill(401), 429, 429]);
    const other = await call(server, guess(1), '2001:db8::2');
    expect(await problemOf(other)).toMatchObject({ code: 'rate_limited', limit_per_minute: 6 });
    expect(await statusOf(server, KEY, '2001:db8::1')).toBe(200);
    await server.close();
  });

  it('counts an IPv6 network without keys as one caller', async () => {
    const server = await startServer({ TRUST_PROXY: '127.0.0.1', RATE_LIMIT: '3' });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push(await statusOf(server, undefined, `2001:db8:7:7:${i}::`));
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    await server.close();
  });
});

describe('WrongKeys', () => {
  it('doubles the pause up to a minute', () => {
    const wrong = new WrongKeys();
    let nowMs = 0;
    for (let i = 0; i < 10; i++) expect(wrong.count('a', nowMs)).toBe(0);
    const pauses = Array.from({ length: 9 }, () => {
      const seconds = wrong.count('a', nowMs);
      nowMs += 1000 * seconds;
      expect(wrong.count('a', nowMs)).toBe(0);
      return seconds;
    });
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
  });

  it('holds no more than a bounded number of networks', () => {
    const wrong = new WrongKeys();
    for (let i = 0; i < 20; i++) wrong.count('first', i);
    for (let i = 0; i < 100_000; i++) wrong.count(`network ${i}`, 0);
    expect(wrong.count('first', 20)).toBe(0);
  });
});

describe('networkOf', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:4711', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:cb00:7107', '203.0.113.7'],
    ['[::ffff:203.0.113.7]:80', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]:443', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['unknown', 'unknown'],
    ['', ''],
  ])('%s is counted as %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
