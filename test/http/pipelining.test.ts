import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postJson, ServiceProcess } from '../service-process.js';

const ITEMS = 200;
const SOON = { timeout: 20_000, interval: 100 };

let service: ServiceProcess;
const sockets: Socket[] = [];
beforeAll(async () => {
  service = await ServiceProcess.start({ settings: { STALLED_REPLY_SECONDS: '2', KEEP_ALIVE_SECONDS: '1' } });
  // With a kilobyte of metadata each, so that a few lists fill every buffer between the service and a client.
  const items = Array.from({ length: ITEMS }, (_, i) => ({
    id: `item-${i}`,
    embedding: [1, ...Array(255).fill(0)],
    modal_type: 'text',
    metadata: { text: `${i} ${'x'.repeat(1000)}` },
  }));
  expect((await postJson(`${service.url}/items`, items)).status).toBe(200);
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await service.kill();
});

async function open(): Promise<Socket> {
  const socket = connect(service.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}
const get = (route: string, headers = '') => `GET ${route} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`;
const list = get('/items?limit=1000');
const ended = async (route: string, ...outcomes: string[]) => {
  const of = (outcome: string) =>
    service.series(`onespace_requests_total{method="GET",route="${route}",outcome="${outcome}"}`);
  return (await Promise.all(outcomes.map(of))).reduce<number>((sum, count) => sum + (count ?? 0), 0);
};
/** Lists whose client went before it had them. */
const givenUp = () => ended('/items', 'aborted', 'abandoned');

describe('requests that a client sends before it has the reply', () => {
  it('are answered in their order', async () => {
    const socket = await open();
    const routes = ['/items/item-3', '/nothing', '/livez', '/items/item-1', '/readyz'];
    socket.write(routes.map((route, i) => get(route, i === routes.length - 1 ? 'connection: close\r\n' : '')).join(''));
    let received = '';
    for await (const chunk of socket) received += chunk;
    const statuses = [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual(['200', '404', '200', '200', '200']);
    expect(received.indexOf('item-3')).toBeLessThan(received.indexOf('item-1'));
  });

  it('are under way one at a time, so that nobody else waits for them', async () => {
    const before = await givenUp();
    const flood = await Promise.all(Array.from({ length: 5 }, open));
    for (const socket of flood) socket.pause().write(list.repeat(500));
    for (let i = 0; i < 20; i++) expect((await service.embed(`text ${i}`)).status).toBe(200);
    expect(await ended('/items', 'ok')).toBeGreaterThan(0);
    for (const socket of flood) socket.destroy();
    await sleep(1000);
    // Of each connection the one that was under way, where one was.
    expect((await givenUp()) - before).toBeLessThanOrEqual(flood.length);
  });

  it('are not begun once the client has gone', async () => {
    const socket = await open();
    socket.pause();
    const answered = () => ended('/items/:id', 'ok');
    const before = await answered();
    socket.write(get('/items/item-1').repeat(200) + list.repeat(40) + get('/items/item-2').repeat(1000));
    await expect.poll(answered, SOON).toBe(before + 200);
    socket.destroy();
    await sleep(500);
    expect(await answered()).toBe(before + 200);
  });
});

describe('a connection', () => {
  it('is cut off when nothing of a reply is read for STALLED_REPLY_SECONDS', async () => {
    const socket = await open();
    const before = await givenUp();
    socket.pause().write(list.repeat(100));
    await expect.poll(givenUp, SOON).toBe(before + 1);
  });

  it('is not cut off while its reply is read slowly', async () => {
    const socket = await open();
    socket.write(list.repeat(39) + get('/items?limit=1000', 'connection: close\r\n'));
    let replies = 0;
    let tail = '';
    for await (const chunk of socket) {
      const text = tail + chunk;
      replies += text.split('HTTP/1.1 200').length - 1;
      tail = text.slice(-11);
      // Some six seconds in all.
      await sleep(40);
    }
    expect(replies).toBe(40);
  });

  it('is closed when it is idle', async () => {
    const socket = await open();
    socket.resume().write(get('/livez'));
    await once(socket, 'close');
  });
});
