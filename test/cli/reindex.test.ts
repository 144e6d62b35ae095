import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { jpeg, mp4 } from '../media-files.js';
import { ModelCopies } from '../model-copies.js';
import { startServer, type TestServer } from '../server.js';

const run = promisify(execFile);
const LONG = 'a very long story about a red car. '.repeat(100);

let dataDir: string;
let copies: ModelCopies;
let red: Buffer;
let video: Buffer;

beforeAll(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), 'onespace-reindex-'));
  [copies, red, video] = await Promise.all([ModelCopies.open(), jpeg('red'), mp4()]);
});
afterAll(async () => {
  await copies.close();
  await rm(dataDir, { recursive: true });
});

const open = (model?: string) =>
  startServer({ DATA_DIR: dataDir, KEEP_ORIGINALS: 'true', ...(model === undefined ? {} : { MODEL: model }) });
const cli = (model: string, ...args: string[]) =>
  run(process.execPath, ['dist/src/cli/main.js', 'reindex', ...args], {
    env: { ...process.env, DATA_DIR: dataDir, MODEL: model },
  });
const embeddingOf = async (server: TestServer, id: string) =>
  ((await (await fetch(`${server.url}/items/${id}?include=embedding`)).json()) as { embedding: number[] }).embedding;
const indexes = async () => (await readdir(path.join(dataDir, 'index'))).sort();

it('embeds originals again with another model, keeps ids and metadata, and loses nothing in an interruption', {
  timeout: 240_000,
}, async () => {
  const [second, third] = [
    await copies.make({ revision: '2-other', flip: 64 }),
    await copies.make({ revision: '3-other', flip: 32 }),
  ];
  const first = await open();
  const forms: Record<string, Record<string, string | Uint8Array>> = {
    image: { 'red.jpg': red },
    video: { 'red-to-blue.mp4': video },
    mixed: { text: 'at night', 'red.jpg': red },
    long: { text: LONG },
    short: { text: 'a red car' },
  };
  for (const [id, form] of Object.entries(forms))
    await first.form('/items', { id, metadata: JSON.stringify({ of: id }), ...form });
  const old = await embeddingOf(first, 'image');
  await first.close();

  await expect(open(second)).rejects.toThrow(/onespace reindex/);
  const { stdout, stderr } = await cli(second);
  expect(stdout).toBe('5 items are in the index of onespace-mini (revision 2-other) now.\n');
  expect(stderr).toContain('embedding again 5/5');
  expect(await indexes()).toEqual(['onespace-mini']);

  const server = await open(second);
  for (const [id, form] of Object.entries(forms)) {
    const { embedding } = (await (await server.form('/embed', form)).json()) as { embedding: number[] };
    expect(await embeddingOf(server, id)).toEqual(embedding);
  }
  expect(await embeddingOf(server, 'image')).not.toEqual(old);
  expect(await (await fetch(`${server.url}/items/mixed`)).json()).toMatchObject({
    id: 'mixed',
    modal_type: 'image',
    metadata: { filename: 'red.jpg', text: 'at night', of: 'mixed' },
  });
  await server.json('/items', { id: 'ready', embedding: old });
  await server.close();

  // An item stored as a ready vector has no original: reindex names it and changes nothing without --leave-out.
  const refusal = await cli(third).catch((error: { stderr: string }) => error.stderr);
  expect(refusal).toMatch(/1 of 6 items cannot be embedded again[\s\S]*ready: no original was kept/);
  expect(await indexes()).toEqual(['onespace-mini']);
  await (await open(second)).close();

  expect((await cli(third, '--leave-out')).stdout).toMatch(
    /^5 items .*; the old index, with 1 .* is kept in .*onespace-mini\.before/,
  );
  expect(await indexes()).toEqual(['onespace-mini', 'onespace-mini.before']);
  expect((await cli(third)).stdout).toMatch(/already/);

  // After a crash between the two renames of the switch, the next start completes it.
  const dir = path.join(dataDir, 'index', 'onespace-mini');
  await rename(dir, `${dir}.complete`);
  const last = await open(third);
  expect(await (await fetch(`${last.url}/items/short`)).json()).toMatchObject({ metadata: { of: 'short' } });
  expect((await fetch(`${last.url}/items/ready`)).status).toBe(404);
  await last.close();
});
