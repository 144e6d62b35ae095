import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { startChroma } from '../store/chroma/chroma-server.js';
import { randomFrom, unitVector } from '../store/support.js';

const run = promisify(execFile);
const folder = await mkdtemp(path.join(tmpdir(), 'onespace-import-'));
const chroma = await startChroma(path.join(folder, 'chroma'));
const COLLECTIONS = `${chroma?.url}/api/v2/tenants/default_tenant/databases/default_database/collections`;
const random = randomFrom(3);

afterAll(async () => {
  await chroma?.stop();
  await rm(folder, { recursive: true });
});

const post = async (url: string, body: object) => {
  const reply = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!reply.ok) throw new Error(await reply.text());
  return (await reply.json()) as { id: string };
};
const cli = (...args: string[]) =>
  run(process.execPath, ['dist/src/cli/main.js', ...args], {
    env: { ...process.env, STORE: 'faiss', CHROMA_URL: chroma?.url, DATA_DIR: path.join(folder, 'data') },
  });
const importFrom = (collection: string, ...args: string[]) =>
  cli('import', '--chroma', chroma?.url ?? '', '--collection', collection, ...args);

async function foreign(name: string, count: number, dim: number) {
  const { id } = await post(COLLECTIONS, { name });
  const kinds = ['image', 'picture', 'video'];
  const records = Array.from({ length: count }, (_, i) => ({
    id: `record-${String(i).padStart(4, '0')}`,
    embedding: Array.from(unitVector(random, dim), (x) => 3 * x),
    metadata: { kind: kinds[i % 3] as string, n: i },
    document: `words of ${i}`,
  }));
  await post(`${COLLECTIONS}/${id}/add`, {
    ids: records.map((record) => record.id),
    embeddings: records.map(({ embedding }) => embedding),
    metadatas: records.map(({ metadata }) => metadata),
    documents: records.map(({ document }) => document),
  });
  return records;
}

describe.skipIf(chroma === undefined)('onespace import --chroma', { timeout: 180_000 }, () => {
  it('stores every record: its metadata and words, its vector with norm 1', async () => {
    const records = await foreign('foreign', 1203, 256);
    const { stdout, stderr } = await importFrom('foreign', '--modality-field', 'kind');
    expect(stdout).toBe('1203 imported\n');
    expect(stderr).toContain('1203/1203');
    const file = path.join(folder, 'export.jsonl');
    await cli('export', file);
    const items = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(items.map(({ vector: _, ...item }) => item)).toEqual(
      records.map(({ id, metadata, document }) => ({
        id,
        modality: metadata.kind === 'picture' ? 'text' : metadata.kind,
        metadata: { text: document, ...metadata },
      })),
    );
    items.forEach(({ vector }: { vector: number[] }, i) => {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
      expect(vector[7]).toBeCloseTo((records[i]?.embedding[7] ?? Number.NaN) / 3, 5);
    });
  });

  it('refuses vectors that are certainly of another model, and names what is not there', async () => {
    await foreign('short', 3, 8);
    await expect(importFrom('short')).rejects.toThrow(/have 8 numbers; those of onespace-mini have 256/);
    await post(COLLECTIONS, { name: 'other', metadata: { model: 'other', revision: '1', dim: 256 } });
    await expect(importFrom('other')).rejects.toThrow(/vectors of other \(revision 1\), not of onespace-mini/);
    await expect(importFrom('nothing')).rejects.toThrow(/no such collection/);
    await expect(cli('import')).rejects.toThrow(/a file, or --chroma with --collection/);
  });
});
