import { getEventListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Embedding } from '../../src/embedding/embedding.js';
import { EmbeddingCache } from '../../src/embedding/embedding-cache.js';
import { Metrics } from '../../src/observability/metrics.js';
import { embeddingOf, openCache } from './support.js';

const metrics = () => new Metrics();
const lookups = async (of: Metrics) =>
  Object.fromEntries((await of.cacheLookups.get()).values.map(({ labels, value }) => [labels.outcome, value]));

describe('EmbeddingCache', () => {
  it('computes a value once', async () => {
    const counts = metrics();
    const cache = new EmbeddingCache<string>(1000, () => 10, counts);
    let computed = 0;
    const compute = async () => `value ${++computed}`;
    expect(await cache.get('a', compute)).toBe('value 1');
    expect(await cache.get('a', compute)).toBe('value 1');
    expect(await lookups(counts)).toEqual({ hit: 1, disk_hit: 0, shared: 0, miss: 1 });
  });

  it('evicts the least recently used entry when it is full', async () => {
    const cache = new EmbeddingCache<string>(20, () => 10, metrics());
    const computed: string[] = [];
    const get = (key: string) =>
      cache.get(key, async () => {
        computed.push(key);
        return key;
      });
    for (const key of ['a', 'b', 'a', 'c', 'a', 'c', 'b']) await get(key);
    expect(computed).toEqual(['a', 'b', 'c', 'b']);
  });

  it('stores nothing at a limit of zero, but still shares computations in progress', async () => {
    const counts = metrics();
    const cache = new EmbeddingCache<number>(0, () => 1, counts);
    let computed = 0;
    const compute = async () => {
      await sleep(20);
      return ++computed;
    };
    expect(await Promise.all([cache.get('a', compute), cache.get('a', compute)])).toEqual([1, 1]);
    expect(await cache.get('a', compute)).toBe(2);
    expect(await lookups(counts)).toEqual({ hit: 0, disk_hit: 0, shared: 1, miss: 2 });
  });

  it('aborts a computation only when all its callers have disconnected', async () => {
    const cache = new EmbeddingCache<string>(100, () => 1, metrics());
    const [first, second] = [new AbortController(), new AbortController()];
    let flight: AbortSignal | undefined;
    let finish = (_: string) => {};
    const compute = (signal: AbortSignal) => {
      flight = signal;
      return new Promise<string>((resolve) => {
        finish = resolve;
      });
    };
    const one = cache.get('a', compute, { signal: first.signal });
    const two = cache.get('a', compute, { signal: second.signal });
    first.abort();
    await expect(one).rejects.toMatchObject({ code: 'client_closed' });
    expect(flight?.aborted).toBe(false);
    finish('done');
    expect(await two).toBe('done');

    const lonely = new AbortController();
    const three = cache.get('b', compute, { signal: lonely.signal });
    lonely.abort();
    await expect(three).rejects.toMatchObject({ code: 'client_closed' });
    expect(flight?.aborted).toBe(true);
    // The next caller starts a new computation instead of joining the aborted one.
    const four = cache.get('b', async () => 'fresh');
    expect(await four).toBe('fresh');
  });

  it('leaves nothing at the signal of a caller, which may be that of a job of hours', async () => {
    const cache = new EmbeddingCache<string>(100, () => 1, metrics());
    const { signal } = new AbortController();
    for (const key of ['a', 'b', 'a']) await cache.get(key, async () => key, { signal });
    await expect(cache.get('c', async () => Promise.reject(new Error('failed')), { signal })).rejects.toThrow('failed');
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('reads from disk an entry that is not in memory', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'onespace-cache-'));
    const { cache: disk } = await openCache(folder);
    const embedding = embeddingOf(1);
    await new EmbeddingCache<Embedding>(100, () => 1, metrics(), disk).get('a', async () => embedding);
    await disk.written();
    const counts = metrics();
    const cache = new EmbeddingCache<Embedding>(100, () => 1, counts, disk);
    const never = () => Promise.reject(new Error('computed twice'));
    // The second call arrives while the disk is read.
    expect(await Promise.all([cache.get('a', never), cache.get('a', never)])).toEqual([embedding, embedding]);
    expect(await cache.get('a', never)).toEqual(embedding);
    expect(await lookups(counts)).toEqual({ hit: 1, disk_hit: 1, shared: 1, miss: 0 });
    await disk.close();
    await rm(folder, { recursive: true });
  });

  it('holds what the computation reads from the first look at the disk until the end', async () => {
    let held = 0;
    const hold = () => {
      held++;
      return () => {
        held--;
      };
    };
    // A record that turns out to be damaged, while the caller who brought the input has left.
    const disk = { bytes: 0, get: () => sleep(20).then(() => undefined), set: () => {} };
    const cache = new EmbeddingCache<string>(100, () => 1, metrics(), disk);
    const leaving = new AbortController();
    const first = cache.get('a', async () => `computed, held ${held}`, { hold, signal: leaving.signal });
    const second = cache.get('a', () => Promise.reject(new Error('computed twice')));
    leaving.abort();
    await expect(first).rejects.toMatchObject({ code: 'client_closed' });
    expect(held).toBe(1);
    expect(await second).toBe('computed, held 1');
    expect(held).toBe(0);
  });

  it('does not cache a failure', async () => {
    const cache = new EmbeddingCache<string>(100, () => 1, metrics());
    await expect(cache.get('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await cache.get('a', async () => 'yes')).toBe('yes');
  });
});
