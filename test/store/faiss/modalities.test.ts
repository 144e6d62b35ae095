import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { openFaissStore } from '../../../src/store/faiss/store.js';
import type { Item } from '../../../src/store/vector-store.js';
import { BINDING, randomFrom, randomItem, recorder, tempDir, unitVector } from '../support.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CHILD = fileURLToPath(new URL('./modality-child.mjs', import.meta.url));
const random = randomFrom(13);

interface Outcome {
  counts?: Record<string, number>;
  items?: { id: string; modality: string; metadata: object; vector: number[]; isFound: boolean }[];
  refused?: string;
  errors: string[];
}

type AnyItem = Omit<Item, 'modality'> & { modality: string };

/** A copy of the build whose modality table has a fourth entry. */
async function buildOfFour(): Promise<string> {
  const build = path.join(await tempDir(), 'dist');
  await mkdir(build);
  await cp(path.join(ROOT, 'dist/src'), path.join(build, 'src'), { recursive: true });
  await symlink(path.join(ROOT, 'node_modules'), path.join(build, 'node_modules'));
  await cp(path.join(ROOT, 'package.json'), path.join(build, 'package.json'));
  const table = path.join(build, 'src/common/modality.js');
  const [before, after] = (await readFile(table, 'utf8')).split(/(?<={ name: 'video', code: 2 }),?\n/);
  expect(after).toBeDefined();
  await writeFile(table, `${before},\n    { name: 'sound', code: 3 },\n${after}`);
  return build;
}

/** Opens an index by a build, in a process of its own. */
async function openBy(build: string, dir: string, items: readonly AnyItem[] = []): Promise<Outcome> {
  const json = JSON.stringify(items.map((item) => ({ ...item, vector: Array.from(item.vector) })));
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, build, dir, json]);
  return JSON.parse(stdout) as Outcome;
}

const three = path.join(ROOT, 'dist');
const sound: AnyItem = { id: 'bark', modality: 'sound', metadata: { animal: 'dog' }, vector: unitVector(random) };
const asFound = (items: readonly AnyItem[]) =>
  [...items]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map((item) => ({ ...item, vector: Array.from(item.vector), isFound: true }));

/** An index with a snapshot, and writes after it that only the write-ahead log holds. */
async function indexOfThree(): Promise<{ dir: string; items: Item[] }> {
  const dir = await tempDir();
  const store = await openFaissStore({ dir, binding: BINDING, logger: recorder().logger });
  const items = Array.from({ length: 30 }, (_, i) => randomItem(random, `item-${i}`));
  await store.upsert(items.slice(0, 20));
  await store.snapshot();
  await store.upsert(items.slice(20));
  await store.close();
  return { dir, items };
}

it('a snapshot written with three modalities opens in a build that knows four', async () => {
  const build = await buildOfFour();
  const { dir, items } = await indexOfThree();
  const opened = await openBy(build, dir);
  expect(opened).toMatchObject({ counts: { sound: 0 }, errors: [] });
  expect(opened.items).toEqual(asFound(items));

  const added = await openBy(build, dir, [sound]);
  expect(added.counts).toMatchObject({ sound: 1 });
  expect(added.items).toEqual(asFound([...items, sound]));
  expect(await openBy(build, dir)).toEqual(added);
});

it('a snapshot with items of a modality that the build does not know is refused, and left as it is', async () => {
  const build = await buildOfFour();
  const { dir, items } = await indexOfThree();
  await openBy(build, dir, [sound]);
  const files = await readdir(dir, { recursive: true });
  const refused = await openBy(three, dir);
  expect(refused.refused).toMatch(/holds 1 items of modality "sound".*Run the version that wrote it/);
  expect((await readdir(dir, { recursive: true })).sort()).toEqual(files.sort());
  expect((await openBy(build, dir)).items).toEqual(asFound([...items, sound]));
});

it('a snapshot without such items opens, whatever modalities its build knew', async () => {
  const build = await buildOfFour();
  const { dir, items } = await indexOfThree();
  const extra = randomItem(random, 'extra');
  await openBy(build, dir, [extra]);
  const opened = await openBy(three, dir);
  expect(opened.errors).toEqual([]);
  expect(opened.items).toEqual(asFound([...items, extra]));
});
