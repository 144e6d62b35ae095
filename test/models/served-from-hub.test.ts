import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HubManifest } from '../../src/models/manifest.js';
import { startServer } from '../server.js';
import { writeTinyGemma } from '../tiny/gemma.js';
import { COMMIT, HubServer } from './hub-server.js';

let folder: string;
let hub: HubServer;

/** A repository with the files of EmbeddingGemma 2, and its manifest in the folder of models. */
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-served-'));
  const original = path.join(folder, 'original');
  await writeTinyGemma(original);
  const manifest = JSON.parse(await readFile(path.join(original, 'model.json'), 'utf8')) as HubManifest;
  const files = new Map<string, Buffer>();
  for (const file of Object.keys(manifest.files)) files.set(file, await readFile(path.join(original, file)));
  hub = await HubServer.start('acme/tiny-gemma', files);
  const own = path.join(folder, 'models', manifest.name);
  await mkdir(own, { recursive: true });
  const source = { repository: 'acme/tiny-gemma', revision: COMMIT };
  await writeFile(path.join(own, 'model.json'), JSON.stringify({ ...manifest, source }));
});
afterAll(async () => {
  await hub.close();
  await rm(folder, { recursive: true });
});

async function embeddingsFrom(settings: Record<string, string>): Promise<unknown> {
  const server = await startServer({ ...settings, CACHE_DISK_MB: '0' });
  try {
    const text = await server.json('/embed/text', { text: 'a red car' });
    const image = await server.form('/embed/image', { 'cat.jpg': await readFile('samples/images/cat.jpg') });
    const video = await server.form('/embed/video', { 'rocket.mp4': await readFile('samples/clips/rocket.mp4') });
    const replies = (await Promise.all([text, image, video].map((reply) => reply.json()))) as { embedding: number[] }[];
    return replies.map(({ embedding }) => embedding);
  } finally {
    await server.close();
  }
}

describe('a model that was downloaded from a hub', () => {
  it('returns the vectors of the files that the hub has', async () => {
    hub.fault('onnx/model.onnx_data', { cutAfter: 1000 }, { status: 503 });
    const MODELS_DIR = path.join(folder, 'models');
    const env = { ...process.env, MODELS_DIR, HF_ENDPOINT: hub.url };
    await promisify(execFile)(process.execPath, ['dist/src/cli/main.js', 'models', 'pull', 'tiny-gemma'], { env });
    const pulled = await embeddingsFrom({ MODEL: 'tiny-gemma', MODELS_DIR });
    expect(pulled).toEqual(await embeddingsFrom({ MODEL: path.join(folder, 'original') }));
    expect(pulled).toEqual(Array(3).fill(expect.objectContaining({ length: 48 })));
  }, 120_000);
});
