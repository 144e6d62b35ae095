import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Problem } from '../../src/common/errors.js';
import { AdmissionControl, type IncomingBody } from '../../src/http/admission-control.js';
import { startServer, type TestServer } from '../server.js';

const FAST = 1e6;

/** A body of which `bytes` have arrived. */
function body(bytes: number, { isComplete = true, rate = FAST } = {}): IncomingBody & { refusedWith?: Problem } {
  return {
    bytes,
    isComplete,
    rate,
    refuse(problem) {
      this.refusedWith = problem;
    },
  };
}

describe('AdmissionControl', () => {
  const make = (requests: number, bytes: number) => {
    const refused: string[] = [];
    return { permits: new AdmissionControl({ requests, bytes }, (reason) => refused.push(reason)), refused };
  };

  it('refuses requests beyond the limit until a permit is released', () => {
    const { permits, refused } = make(2, 1000);
    const release = permits.take(body(1));
    permits.take(body(1));
    expect(() => permits.take(body(1))).toThrow(expect.objectContaining({ code: 'overloaded', status: 503 }));
    expect(refused).toEqual(['requests']);
    release();
    release();
    permits.take(body(1));
    expect(() => permits.take(body(1))).toThrow(/2 requests are already under way/);
  });

  it('refuses bytes beyond the limit, but never a request that runs alone', () => {
    const { permits, refused } = make(10, 100);
    const release = permits.take(body(500));
    expect(() => permits.take(body(1))).toThrow(/try again/);
    expect(refused).toEqual(['bytes']);
    release();
    permits.take(body(60));
    permits.take(body(40));
    expect(permits.bytesUnderWay).toBe(100);
    expect(() => permits.take(body(1))).toThrow();
  });

  it('gives the permit of the slowest body that is arriving to another request', () => {
    const { permits } = make(3, 1000);
    const [slow, slowest, waits] = [
      body(10, { isComplete: false, rate: 3000 }),
      body(10, { isComplete: false, rate: 2000 }),
      body(10, { rate: 1 }),
    ];
    for (const one of [slow, slowest, waits]) permits.take(one);
    permits.take(body(1));
    expect(slowest.refusedWith).toMatchObject({ code: 'overloaded' });
    expect([slow.refusedWith, waits.refusedWith]).toEqual([undefined, undefined]);
  });

  it('keeps what arrives within the limit, at the cost of the slowest', () => {
    const { permits } = make(10, 100);
    const arriving = [1, 2, 3].map((times) => body(50, { isComplete: false, rate: times * FAST }));
    for (const one of arriving) Object.assign(one, { bytes: 0 });
    for (const one of arriving) permits.take(one);
    for (const one of arriving) Object.assign(one, { bytes: 50 });
    permits.sweep();
    expect(arriving.map(({ refusedWith }) => refusedWith?.code)).toEqual(['overloaded', undefined, undefined]);
    expect(permits.bytesUnderWay).toBe(100);
  });
});

describe('slow clients', () => {
  const QUEUE = 6;
  let server: TestServer;
  const slow: Socket[] = [];

  beforeAll(async () => {
    server = await startServer({ MAX_QUEUE: String(QUEUE), MAX_INFLIGHT_MB: '64' });
  });
  afterAll(async () => {
    for (const socket of slow) socket.destroy();
    await server.close();
  });

  /** Announces a file and sends its first bytes. */
  async function announce(bytes: number): Promise<Socket> {
    const { hostname, port } = new URL(server.url);
    const socket = connect({ host: hostname, port: Number(port) }).on('error', () => {});
    await once(socket, 'connect');
    socket.write(
      `POST /embed/image HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: ${bytes}\r\n\r\n`,
    );
    socket.write('\x89PNG\r\n\x1a\n');
    return socket;
  }

  it('do not keep others from being served, whatever they announce', async () => {
    for (let i = 0; i < 2 * QUEUE; i++) slow.push(await announce(64_000_000));
    // Faster than a body may be at least, and far slower than the others need.
    const drip = setInterval(() => {
      for (const socket of slow) socket.write('0'.repeat(120));
    }, 100);
    await sleep(1500);
    const statuses: number[] = [];
    for (let i = 0; i < 3 * QUEUE; i++) statuses.push((await server.json('/embed/text', { text: `text ${i}` })).status);
    clearInterval(drip);
    expect(statuses).toEqual(Array(3 * QUEUE).fill(200));
  });

  it('are refused before the first byte of a body over the limit', async () => {
    const socket = await announce(999_999_999_999_999);
    const [reply] = await once(socket, 'data');
    expect(String(reply)).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
  });
});
