import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { randomFrom } from '../random.js';
import { embeddingOf, keyOf, openCache } from './support.js';

/** How many damaged copies are opened. */
const CASES = Number(process.env.CACHE_DAMAGE_CASES ?? 150);
const RECORDS = 100;
const MAX_BYTES = 150_000;
const PAGE = 4096;

let folder: string;
let whole: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-cache-damage-'));
  whole = path.join(folder, 'whole');
  await using open = await openCache(whole, { maxBytes: MAX_BYTES });
  for (let i = 0; i < RECORDS; i++) {
    open.cache.set(keyOf(i), embeddingOf(i));
    if (i % 10 === 0) await open.cache.written();
  }
});
afterAll(() => rm(folder, { recursive: true }));

const originals = Array.from({ length: RECORDS }, (_, i) => embeddingOf(i));

type Random = (below: number) => number;

/** What power cuts, bad disks and people do to files. */
const DAMAGES: Record<string, (bytes: Buffer, random: Random) => Buffer> = {
  'a flipped bit': (bytes, random) => {
    const at = random(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    return bytes;
  },
  'a page that was never written': (bytes, random) => {
    const at = random(bytes.length) & ~(PAGE - 1);
    return bytes.fill(0, at, Math.min(at + PAGE, bytes.length));
  },
  'a page of another place': (bytes, random) => {
    const [from, to] = [random(bytes.length) & ~(PAGE - 1), random(bytes.length) & ~(PAGE - 1)];
    bytes.copy(bytes, to, from, from + PAGE);
    return bytes;
  },
  'a torn end': (bytes, random) => bytes.subarray(0, random(bytes.length)),
  'an empty file': () => Buffer.alloc(0),
  'an end of zeros': (bytes, random) => Buffer.concat([bytes, Buffer.alloc(random(3 * PAGE))]),
  'noise behind the end': (bytes, random) =>
    Buffer.concat([bytes, Buffer.from(Array.from({ length: random(500) }, () => random(256)))]),
  'all noise': (bytes, random) => bytes.map(() => random(256)) as Buffer,
  'huge lengths': (bytes, random) => {
    for (let i = 0, at = random(bytes.length); i < 5; i++, at = random(bytes.length))
      bytes.fill(0xff, at, Math.min(at + 4, bytes.length));
    return bytes;
  },
  'records cut out': (bytes, random) => {
    const [from, length] = [random(bytes.length), random(3000)];
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
  },
};

it(`finds the right embedding or none, in ${CASES} damaged copies`, async () => {
  const names = Object.keys(DAMAGES);
  let found = 0;
  for (let seed = 1; seed <= CASES; seed++) {
    const next = randomFrom(seed);
    const random: Random = (below) => Math.floor(next() * below);
    const copy = path.join(folder, 'copy');
    await cp(whole, copy, { recursive: true });
    const files = (await readdir(copy)).map((name) => path.join(copy, name));
    const done: string[] = [];
    for (let i = 0; i <= random(3); i++) {
      const file = files[random(files.length)] as string;
      const name = names[random(names.length)] as string;
      done.push(name);
      await writeFile(file, (DAMAGES[name] as (typeof DAMAGES)[string])(await readFile(file), random));
    }
    if (random(10) === 0) await rm(files[random(files.length)] as string);
    if (random(10) === 0) await cp(files[0] as string, path.join(copy, '000000999.vectors')).catch(() => {});
    {
      await using open = await openCache(copy, { maxBytes: MAX_BYTES });
      const { cache } = open;
      // Damage under the open cache, too.
      if (random(4) === 0) await truncate(files.at(-1) as string, random(40_000)).catch(() => {});
      for (let i = 0; i < RECORDS; i++) {
        const embedding = await cache.get(keyOf(i));
        if (embedding === undefined) continue;
        found++;
        if (!isDeepStrictEqual(embedding, originals[i])) expect.fail(`a wrong embedding with seed ${seed}: ${done}`);
      }
      expect(cache.bytes).toBeLessThanOrEqual(MAX_BYTES);
      cache.set('new', embeddingOf(1));
      await cache.written();
      expect(await cache.get('new'), `seed ${seed}: ${done}`).toEqual(embeddingOf(1));
    }
    await rm(copy, { recursive: true });
  }
  expect(found).toBeGreaterThan((CASES * RECORDS) / 2);
}, 600_000);
