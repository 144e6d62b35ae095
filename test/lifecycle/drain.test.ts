import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';
import { ServiceProcess, send } from '../service-process.js';

let folder: string;
let service: ServiceProcess;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-lifecycle-'));
});
afterEach(() => service.kill());
afterAll(() => rm(folder, { recursive: true, force: true }));

let folders = 0;
const start = async (settings: Record<string, string> = {}) => {
  service = await ServiceProcess.start({
    settings: { ...settings, DATA_DIR: path.join(folder, String(++folders)) },
  });
};

/** A request whose body is complete when `finish` is called. */
function beginUpload(port: number) {
  const body = JSON.stringify({ text: 'a cat' });
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const upload = request({ host: '127.0.0.1', port, path: '/embed/text', method: 'POST', headers });
  const response = once(upload, 'response') as Promise<[import('node:http').IncomingMessage]>;
  response.catch(() => {});
  upload.write(body.slice(0, 5));
  return { response, finish: () => upload.end(body.slice(5)) };
}

describe('a service that is told to stop', () => {
  it('fails its readiness, serves everyone for the delay, then closes its port and finishes what is under way', async () => {
    const adminPort = await freePort();
    await start({ SHUTDOWN_DELAY_SECONDS: '3', ADMIN_PORT: String(adminPort) });
    expect((await service.get('/readyz')).body).toContain('"ready":true');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const before = await service.embed('before', agent);
    expect(before.headers.connection).toBe('keep-alive');
    const upload = beginUpload(service.port);

    service.child.kill('SIGTERM');
    await service.until('/readyz', (status) => status === 503);
    const { body } = await service.get('/readyz');
    expect(JSON.parse(body)).toMatchObject({ ready: false, state: 'draining', reasons: [{ code: 'draining' }] });
    expect((await send({ port: adminPort, route: '/readyz' })).status).toBe(503);
    const health = await service.get('/health');
    expect([health.status, JSON.parse(health.body)]).toMatchObject([503, { ready: false, state: 'draining' }]);
    expect((await service.get('/livez')).status).toBe(200);
    // On the connection from before, and on a new one: served, and closed.
    const kept = await service.embed('on the connection from before', agent);
    expect([kept.status, kept.connection, kept.headers.connection]).toEqual([200, before.connection, 'close']);
    const fresh = await service.embed('on a new connection', agent);
    expect([fresh.status, fresh.headers.connection]).toEqual([200, 'close']);
    expect(fresh.connection).not.toBe(before.connection);

    await expect
      .poll(() => service.get('/livez').catch((error) => error.code), { timeout: 30_000 })
      .toBe('ECONNREFUSED');
    // The operator still sees it.
    expect((await send({ port: adminPort, route: '/livez' })).status).toBe(200);
    upload.finish();
    expect((await upload.response)[0].statusCode).toBe(200);
    expect(await service.exit).toEqual([0, null]);
  }, 120_000);

  it('serves what its idle connections may be about to send, and then closes them', async () => {
    await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { connection } = await service.embed('before', agent);
    const idle = connect(service.port, '127.0.0.1');
    await once(idle, 'connect');
    const closed = once(idle.resume(), 'close');
    service.child.kill('SIGTERM');
    await expect
      .poll(() => service.get('/livez').catch((error) => error.code), { timeout: 30_000, interval: 5 })
      .toBe('ECONNREFUSED');
    const reply = await service.embed('after the port was closed', agent);
    expect([reply.status, reply.connection, reply.headers.connection]).toEqual([200, connection, 'close']);
    expect(await service.exit).toEqual([0, null]);
    await closed;
  }, 120_000);

  it('does not lose the reply to a body that it refuses', async () => {
    await start({ SHUTDOWN_DELAY_SECONDS: '2', MAX_JSON_MB: '1' });
    service.child.kill('SIGTERM');
    await service.until('/readyz', (status) => status === 503);
    const tooLarge = await send({ port: service.port, route: '/embed/text', body: { text: 'x'.repeat(8_000_000) } });
    expect(tooLarge.status).toBe(413);
    expect(await service.exit).toEqual([0, null]);
  }, 120_000);

  it('ends with 1 when requests are still under way after SHUTDOWN_TIMEOUT_SECONDS', async () => {
    await start({ SHUTDOWN_TIMEOUT_SECONDS: '1' });
    beginUpload(service.port);
    await sleep(300);
    service.child.kill('SIGTERM');
    expect(await service.exit).toEqual([1, null]);
    expect(service.stderr).toContain('SHUTDOWN_TIMEOUT_SECONDS');
  }, 120_000);

  it('ends at once on a second signal, also during the delay', async () => {
    await start({ SHUTDOWN_DELAY_SECONDS: '3600' });
    service.child.kill('SIGTERM');
    await service.until('/readyz', (status) => status === 503);
    // Within a second both would be one wish to stop.
    await sleep(1500);
    service.child.kill('SIGINT');
    expect(await service.exit).toEqual([1, null]);
  }, 120_000);
});
