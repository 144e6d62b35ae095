import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_EXPORTS } from '../../src/http/request-limits.js';
import type { Item } from '../../src/store/vector-store.js';
import { problemOf, startServer, type TestServer } from '../server.js';

const run = promisify(execFile);
/** Some 32 MB of lines: more than the buffers of the sockets between client and service. */
const ITEMS = 6000;
const READER = 'a-key-that-may-only-read';

let folder: string;
let server: TestServer;
let dataDir: string;

const itemOf = (i: number): Item => ({
  id: `item ${String(i).padStart(5, '0')}`,
  modality: 'text',
  metadata: { i },
  vector: Float32Array.from({ length: 256 }, (_, at) => (at === i % 256 ? 1 : 0) || Math.fround(1e-5 * ((i * at) % 7))),
});

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-export-route-'));
  dataDir = path.join(folder, 'data');
  server = await startServer({ DATA_DIR: dataDir, API_KEYS: `${READER}:read` });
  const { store } = server.app.service.models.default;
  for (let from = 0; from < ITEMS; from += 1000) {
    const items = Array.from({ length: 1000 }, (_, i) => itemOf(from + i));
    for (const { vector } of items) {
      const norm = Math.hypot(...vector);
      vector.forEach((value, i) => {
        vector[i] = value / norm;
      });
    }
    await store.upsert(items);
  }
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const headers = { authorization: `Bearer ${READER}` };
const exported = (query = '') => fetch(`${server.url}/export${query}`, { headers });
const idsOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: string }).id);

/** A client that has received the head of an export and reads no further. */
async function stalled(): Promise<IncomingMessage> {
  const [reply] = (await once(get(`${server.url}/export`, { headers, agent: false }), 'response')) as [IncomingMessage];
  expect(reply.statusCode).toBe(200);
  reply.on('error', () => {});
  return reply;
}

const cli = (...args: string[]) =>
  run(process.execPath, ['dist/src/cli/main.js', ...args], {
    env: { ...process.env, DATA_DIR: dataDir, ONESPACE_API_KEY: READER },
  });

describe('GET /export', { timeout: 120_000 }, () => {
  it('gives every item in order of id to a key that may read, and continues after one', async () => {
    const reply = await exported();
    expect(reply.headers.get('content-type')).toBe('application/x-ndjson');
    const ids = idsOf(await reply.text());
    expect(ids).toEqual(Array.from({ length: ITEMS }, (_, i) => itemOf(i).id));
    expect(idsOf(await (await exported(`?after=${encodeURIComponent(ids[ITEMS - 3] as string)}`)).text())).toEqual(
      ids.slice(-2),
    );
    expect((await problemOf(await fetch(`${server.url}/export`))).code).toBe('unauthorized');
    expect((await problemOf(await exported('?model=nothing'))).code).toBe('model_not_found');
  });

  it('reads on only as fast as its client, which may stop at any time', async () => {
    const { store } = server.app.service.models.default;
    const get = store.get.bind(store);
    let read = 0;
    store.get = (id) => {
      read += 1;
      return get(id);
    };
    const reply = await stalled();
    let before = -1;
    // Until the buffers of the sockets are full.
    while (before !== read) {
      before = read;
      await sleep(1500);
    }
    expect(read).toBeLessThan(ITEMS);
    reply.destroy();
    await sleep(1500);
    expect(read - before).toBeLessThanOrEqual(128);
    store.get = get;
  });

  it(`serves ${MAX_EXPORTS} at a time, and the next when one of them has ended`, async () => {
    const readers = await Promise.all(Array.from({ length: MAX_EXPORTS }, stalled));
    expect((await problemOf(await exported())).code).toBe('overloaded');
    readers[0]?.destroy();
    const next = async () => {
      const reply = await exported('?after=item%2005990');
      await reply.text();
      return reply.status;
    };
    await expect.poll(next, { timeout: 20_000 }).toBe(200);
    for (const reader of readers) reader.destroy();
  });

  it('is what onespace export writes, through the service and without it', async () => {
    const [through, own, plain] = ['through', 'own', 'plain'].map((name) => path.join(folder, name)) as [
      string,
      string,
      string,
    ];
    const { stdout, stderr } = await cli('export', through, '--url', server.url);
    expect(stdout).toBe(`${ITEMS} exported\n`);
    expect(stderr).toContain(`${ITEMS}/${ITEMS}`);
    await expect(cli('export', plain)).rejects.toThrow(/in use by another process/);
    await expect(cli('export', plain, '--url', 'http://127.0.0.1:9')).rejects.toThrow(/No service answers/);
    const text = await (await exported()).text();
    expect(await readFile(through, 'utf8')).toBe(text);

    // A service that stops cuts an export off, and its client can tell.
    const reply = await stalled();
    const closed = server.close();
    await expect(async () => {
      for await (const _ of reply);
    }).rejects.toThrow('aborted');
    await closed;
    expect((await cli('export', own)).stdout).toBe(`${ITEMS} exported\n`);
    expect(await readFile(own, 'utf8')).toBe(text);
    server = await startServer({ DATA_DIR: dataDir, API_KEYS: `${READER}:read` });
  });
});
