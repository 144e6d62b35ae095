import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'vitest';
import { forEachModality, MODALITIES } from '../../src/common/modality.js';
import type { Logger } from '../../src/lib/logger.js';
import { compileFilter } from '../../src/store/filter.js';
import type { Counts, Filter, Hit, Item, SearchOptions } from '../../src/store/vector-store.js';

export { randomFrom } from '../random.js';

export const BINDING = { model: 'test', revision: '1', dim: 16 };

const dirs: string[] = [];
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true });
});

/** A folder that is gone after the test. */
export async function tempDir(): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'onespace-index-'));
  dirs.push(dir);
  return dir;
}

export interface LogLine {
  level: keyof Logger;
  message: string;
}

/** A logger whose lines a test can look at. */
export function recorder(): { logger: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const write = (level: keyof Logger) => (_fields: object, message: string) => void lines.push({ level, message });
  return { logger: { info: write('info'), warn: write('warn'), error: write('error') }, lines };
}

export function unitVector(random: () => number, dim = BINDING.dim): Float32Array {
  const vector = Float32Array.from({ length: dim }, () => random() - 0.5);
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

const COLOURS = ['red', 'green', 'blue'];

/** An item whose metadata the filters of the tests can tell apart. */
export function randomItem(random: () => number, id: string): Item {
  const number = Math.floor(random() * 1000);
  const metadata = {
    number,
    colour: COLOURS[number % COLOURS.length],
    ...(number % 4 === 0 ? { caption: `第${number} "quoted"\n` } : {}),
    nested: { even: number % 2 === 0 },
  };
  return { id, modality: MODALITIES[number % MODALITIES.length] ?? 'text', metadata, vector: unitVector(random) };
}

/** The contract done naively: what every driver must agree with. */
export class Oracle {
  readonly items = new Map<string, Item>();

  upsert(items: readonly Item[]): void {
    for (const item of items) this.items.set(item.id, item);
  }

  delete(ids: readonly string[]): number {
    return ids.filter((id) => this.items.delete(id)).length;
  }

  deleteWhere(filter: Filter): number {
    return this.delete(this.select(filter).map(({ id }) => id));
  }

  select(filter: Filter = {}, modality?: string): Item[] {
    const matches = compileFilter(filter);
    return [...this.items.values()]
      .filter((item) => (modality ?? item.modality) === item.modality && matches(item.metadata))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  search(vector: Float32Array, { k, modality, filter }: SearchOptions): Pick<Hit, 'id' | 'score'>[] {
    return this.select(filter, modality)
      .map(({ id, vector: stored }) => ({ id, score: dot(vector, stored) }))
      .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
      .slice(0, k);
  }

  counts(): Counts {
    const counts = forEachModality(() => 0);
    for (const { modality } of this.items.values()) counts[modality] += 1;
    return counts;
  }
}

const dot = (a: Float32Array, b: Float32Array): number =>
  Math.fround(a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0));
