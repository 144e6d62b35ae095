import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'vitest';
import { MODALITIES } from '../../src/common/modality.js';
import type { Logger } from '../../src/lib/log/logger.js';
import type { Item } from '../../src/store/vector-store.js';

export { randomFrom } from '../random.js';
export { Oracle } from './oracle.js';

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
