import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type Connection,
  deleteItem,
  deleteItems,
  embed,
  embedTexts,
  formOf,
  getItem,
  health,
  listItems,
  putItem,
  putItems,
  retrieve,
  ServiceError,
} from 'onespace/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg } from '../media-files.js';
import { startServer, type TestServer } from '../server.js';

const KEY = 'the-key-of-this-test';

let server: TestServer;
let to: Connection;

beforeAll(async () => {
  server = await startServer({ API_KEYS: KEY });
  to = { url: server.url, apiKey: KEY };
});
afterAll(() => server.close());

describe('the client', () => {
  it('embeds, stores, finds, lists and deletes', async () => {
    const red = new File([new Uint8Array(await jpeg('red'))], 'red.jpg');
    expect(await embed(to, formOf(['at night', red]))).toMatchObject({ modal_type: 'image', dim: 256 });
    expect(await embedTexts(to, ['a cat', 'a dog'])).toHaveLength(2);
    await putItem(to, { id: 'cat/1', text: 'a cat', metadata: { legs: 4 } });
    await putItem(to, formOf([red], { id: 'red', metadata: { colour: 'red' } }));
    expect(await getItem(to, 'cat/1')).toEqual({
      id: 'cat/1',
      modal_type: 'text',
      metadata: { text: 'a cat', legs: 4 },
    });
    expect((await getItem(to, 'red', { withEmbedding: true })).embedding).toHaveLength(256);
    const hits = await retrieve(to, { mix: [{ text: 'a cat' }, { text: 'a dog', weight: -0.1 }], top_k: 1 });
    expect(hits).toMatchObject([{ id: 'cat/1', metadata: { legs: 4 } }]);
    const ids = [];
    for await (const { id } of listItems(to, { limit: 1 })) ids.push(id);
    expect(ids).toEqual(['cat/1', 'red']);
    const many = await putItems(to, [
      { id: 'x', text: 'x', metadata: { n: 1 } },
      { id: 'y', embedding: [1] },
    ]);
    expect(many).toMatchObject([{ id: 'x' }, { error: { code: 'wrong_dimension' } }]);
    expect(await deleteItems(to, { filter: { n: 1 } })).toBe(1);
    await deleteItem(to, 'cat/1');
    expect(await health(to)).toMatchObject({ ready: true, index: { size: 1 } });
  });

  it('throws the problem document of an error reply', async () => {
    const error = await getItem(to, 'nobody').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ServiceError);
    expect(error).toMatchObject({ message: 'There is no item "nobody".', problem: { status: 404, code: 'not_found' } });
    await expect(getItem({ url: server.url }, 'nobody')).rejects.toMatchObject({ problem: { status: 401 } });
  });

  it('names the address where no service answers', async () => {
    await expect(health({ url: 'http://127.0.0.1:9' })).rejects.toThrow('No service answers at http://127.0.0.1:9');
  });
});

describe('a service that is at its limit', () => {
  /** A bare server that answers with each of `replies` in turn. */
  async function bareServer(replies: ((response: ServerResponse) => void)[]): Promise<{ url: string; close(): void }> {
    const bare = createServer((_request, response) => replies.shift()?.(response)).listen(0, '127.0.0.1');
    await once(bare, 'listening');
    return { url: `http://127.0.0.1:${(bare.address() as AddressInfo).port}`, close: () => bare.close() };
  }
  const later = (response: ServerResponse) => response.writeHead(503, { 'retry-after': '0' }).end('{}');

  it('gets the request again after Retry-After', async () => {
    const bare = await bareServer([later, later, (response) => response.end('{"ready":true}')]);
    expect(await health({ url: bare.url })).toEqual({ ready: true });
    bare.close();
  });

  it('is not waited for once the signal aborts', async () => {
    const bare = await bareServer([(response) => response.writeHead(503, { 'retry-after': '9' }).end('{}')]);
    const started = performance.now();
    const signal = AbortSignal.timeout(200);
    await expect(health({ url: bare.url, signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(performance.now() - started).toBeLessThan(5_000);
    bare.close();
  });

  it('gets the request `maxAttempts` times at most', async () => {
    const bare = await bareServer([later, later]);
    await expect(health({ url: bare.url, maxAttempts: 2 })).rejects.toMatchObject({ problem: { status: 503 } });
    bare.close();
  });
});
