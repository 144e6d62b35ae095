import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openChromaStore } from '../../../src/store/chroma/store.js';
import { storeContract } from '../store.contract.js';
import { BINDING, randomFrom, randomItem, unitVector } from '../support.js';
import { startChroma } from './chroma-server.js';

const dataDir = await mkdtemp(path.join(tmpdir(), 'onespace-chroma-'));
const server = await startChroma(dataDir);
const url = server?.url ?? '';
const newName = () => `test-${randomUUID()}`;
const random = randomFrom(9);

afterAll(async () => {
  await server?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

// Without the chromadb package (or CHROMA_URL) there is no server to test on.
describe.skipIf(server === undefined)('on a Chroma server', () => {
  storeContract('chroma', () => openChromaStore({ url, collection: newName(), binding: BINDING }), {
    steps: 500,
    recall: 0.99,
  });

  it('two replicas see each other’s writes', async () => {
    const collection = newName();
    const [one, two] = await Promise.all([
      openChromaStore({ url, collection, binding: BINDING }),
      openChromaStore({ url, collection, binding: BINDING }),
    ]);
    const items = Array.from({ length: 20 }, (_, i) => randomItem(random, `item-${i}`));
    await one.upsert(items);
    for (const item of items) expect(await two.get(item.id)).toEqual(item);
    expect(await two.delete(['item-0'])).toBe(1);
    expect(await one.get('item-0')).toBeUndefined();
  });

  it.each([
    ['model', { ...BINDING, model: 'other' }],
    ['revision', { ...BINDING, revision: '2' }],
    ['dimension', { ...BINDING, dim: 32 }],
  ])('a collection of another %s is refused with the remedy', async (_, binding) => {
    const collection = newName();
    await openChromaStore({ url, collection, binding: BINDING });
    await expect(openChromaStore({ url, collection, binding })).rejects.toMatchObject({
      code: 'index_model_mismatch',
      detail: expect.stringContaining('delete the collection and index the originals again'),
    });
  });
});

describe('without a Chroma server', () => {
  it('opening fails as store_unavailable', async () => {
    const opening = openChromaStore({ url: 'http://127.0.0.1:1', collection: 'x', binding: BINDING, retries: 1 });
    await expect(opening).rejects.toMatchObject({ code: 'store_unavailable' });
  });
});

describe.skipIf(server === undefined || process.env.CHROMA_URL !== undefined)(
  'when the Chroma server goes down',
  () => {
    it('calls fail as store_unavailable, after some failures without a request, and work again when it is back', {
      timeout: 60_000,
    }, async () => {
      const dir = await mkdtemp(path.join(tmpdir(), 'onespace-chroma-'));
      const first = await startChroma(dir);
      const store = await openChromaStore({
        url: first?.url ?? '',
        collection: 'restarted',
        binding: BINDING,
        retries: 1,
      });
      const item = randomItem(random, 'kept');
      await store.upsert([item]);
      await first?.stop();
      for (let call = 0; call < 5; call++)
        await expect(store.search(unitVector(random), { k: 1 })).rejects.toMatchObject({ code: 'store_unavailable' });
      const again = await startChroma(dir, Number(new URL(first?.url ?? '').port));
      await expect.poll(() => store.get('kept').catch(() => undefined), { timeout: 20_000 }).toEqual(item);
      await again?.stop();
      await rm(dir, { recursive: true, force: true });
    });
  },
);
