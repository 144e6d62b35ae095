import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServiceProcess } from '../service-process.js';

let service: ServiceProcess;

beforeAll(async () => {
  service = await ServiceProcess.start({ settings: { HEADERS_TIMEOUT_SECONDS: '2', SLOW_BODY_SECONDS: '1' } });
});
afterAll(() => service.kill());

/** Sends bytes that may be no HTTP. @returns the head of the reply */
async function send(bytes: string): Promise<string> {
  const socket = connect(service.port, '127.0.0.1');
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString().split('\r\n\r\n')[0] ?? '';
}

const requestIdOf = (head: string) => /x-request-id: (\S+)/.exec(head)?.[1];

describe('the log', () => {
  it.each([
    ['is no HTTP', 'GARBAGE\r\n\r\n', 400, 'HPE_INVALID_METHOD'],
    ['has two lengths', 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n', 400, /^HPE_/],
    ['has too large headers', `GET / HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'HPE_HEADER_OVERFLOW'],
    [
      'has a body that arrives too slowly',
      'POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: 9999\r\n\r\na',
      408,
      undefined,
    ],
    ['does not arrive in time', 'GET / HTTP/1.1\r\n', 408, 'ERR_HTTP_REQUEST_TIMEOUT'],
    [
      'has a path that cannot be decoded',
      'GET /items/%E0%A4%A HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
      400,
      undefined,
    ],
  ])('has the id that the sender of a request received which %s', async (_, bytes, status, reason) => {
    const head = await send(bytes);
    expect(head).toContain(`HTTP/1.1 ${status} `);
    const found = () => service.logs.find(({ request_id }) => request_id === requestIdOf(head));
    await expect.poll(found).toMatchObject({ status, client: '127.0.0.1', msg: 'request' });
    if (reason !== undefined) expect(found()?.reason).toEqual(expect.stringMatching(reason));
  });

  it('is not filled by a flood of broken requests, and says how many are left out', async () => {
    const before = service.logs.length;
    const startMs = performance.now();
    await Promise.all(Array.from({ length: 300 }, () => send('GARBAGE\r\n\r\n')));
    const seconds = Math.ceil((performance.now() - startMs) / 1000) + 1;
    expect(service.logs.length - before).toBeLessThanOrEqual(10 * seconds);
    const suppressed = () => service.logs.reduce((sum, line) => sum + Number(line.suppressed ?? 0), 0);
    await expect
      .poll(async () => {
        await send('GARBAGE\r\n\r\n');
        return suppressed();
      })
      .toBeGreaterThanOrEqual(300 - 10 * seconds);
  });
});
