import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkFiles } from '../../src/models/files/verify.js';
import { FolderSource, HubSource } from '../../src/models/hub/file-source.js';
import { HttpClient } from '../../src/models/hub/http-client.js';
import { HubApi } from '../../src/models/hub/hub-api.js';
import { pull } from '../../src/models/hub/pull.js';
import type { ClipManifest } from '../../src/models/manifest.js';
import { manifestOf, repositoryFiles } from './hub-model.js';
import { COMMIT, HubServer, TOKEN } from './hub-server.js';

const Q8 = ['config.json', 'onnx/text_model_quantized.onnx', 'onnx/vision_model_quantized.onnx', 'tokenizer.json'];
const VISION = 'onnx/vision_model_quantized.onnx';
const TEXT = 'onnx/text_model_quantized.onnx';
const RETRY_POLICY = { attempts: 4, firstMs: 10, maxMs: 30_000, maxRetryAfterMs: 5_000 };

const files = repositoryFiles();
let server: HubServer;
let dir: string;
let notices: string[];

beforeEach(async () => {
  server = await HubServer.start('acme/tiny', files);
  dir = await mkdtemp(path.join(tmpdir(), 'onespace-hub-'));
  notices = [];
});
afterEach(async () => {
  await server.close();
  await rm(dir, { recursive: true });
});

interface Options {
  model?: ClipManifest;
  dtype?: string;
  token?: string;
  idleTimeoutMs?: number;
}

/** Pulls from the fake hub; the reported progress must add up. */
async function pullTiny({ model = manifestOf(files), dtype = 'q8', token = '', idleTimeoutMs = 5_000 }: Options = {}) {
  const hub = new HubApi(new HttpClient(server.url, token, idleTimeoutMs), RETRY_POLICY, (message) =>
    notices.push(message),
  );
  const reported = { done: 0, total: 0 };
  const count = (bytes: number) => {
    reported.done += bytes;
  };
  const result = await pull(
    { model, dir, dtype },
    (_, commit) => new HubSource(hub, model.source, commit),
    (total) => {
      reported.total = total;
      return { skip: count, advance: count };
    },
  );
  expect(reported.done).toBe(reported.total);
  return result;
}

const kept = async () =>
  (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
const read = (file: string) => readFile(path.join(dir, file));
const isRight = async (file: string) => (await read(file)).equals(files.get(file) as Buffer);
const states = async (model = manifestOf(files), dtype = 'q8') =>
  Object.fromEntries((await checkFiles(model, dir, dtype)).map(({ file, state }) => [file, state]));

describe('pulling a model', () => {
  it('downloads the files of one dtype, and nothing twice', async () => {
    const { fetched } = await pullTiny();
    expect(fetched.map(({ file }) => file).sort()).toEqual(Q8);
    expect(await kept()).toEqual(Q8);
    for (const file of Q8) expect(await isRight(file), file).toBe(true);

    server.seen.length = 0;
    expect(await pullTiny()).toEqual({ fetched: [], kept: 4 });
    expect(server.seen, 'no request when every file is present').toEqual([]);
    expect(await pullTiny({ dtype: 'fp32' })).toMatchObject({ fetched: [{ file: 'onnx/text_model.onnx' }], kept: 2 });
  });

  it('names the dtypes that a model has', async () => {
    await expect(pullTiny({ dtype: 'fp16' })).rejects.toThrow('does not come in DTYPE=fp16, but in fp32, q8, q4');
  });

  it('sends the token to the hub, and not to the hosts it redirects to', async () => {
    server.gate = { status: 401, code: 'GatedRepo' };
    await pullTiny({ token: TOKEN });
    const tokens = (host: string) =>
      new Set(server.seen.filter((one) => one.host === host).map((s) => s.authorization));
    expect(tokens('hub')).toEqual(new Set([`Bearer ${TOKEN}`]));
    expect(tokens('cdn')).toEqual(new Set([undefined]));
  });

  it('repairs a file that was damaged on disk', async () => {
    await pullTiny();
    await appendFile(path.join(dir, VISION), 'x');
    expect(await states()).toMatchObject({ [VISION]: 'damaged', [TEXT]: 'right' });
    expect((await pullTiny()).fetched.map(({ file }) => file)).toEqual([VISION]);
    expect(await isRight(VISION)).toBe(true);
  });

  it('checks the free space of the disk before it downloads', async () => {
    const model = manifestOf(files);
    model.files[VISION] = { bytes: 1e15, sha256: 'a'.repeat(64) };
    await expect(pullTiny({ model })).rejects.toThrow(/has .* free, and 1000 TB are needed/);
    expect(server.seen).toEqual([]);
  });
});

describe('a file that is not pinned', () => {
  const unpinned = ['config.json', VISION] as const;

  it('is taken as the hub describes it, and locked from then on', async () => {
    const model = manifestOf(files, { unpinned });
    expect(await states(model)).toMatchObject({ 'config.json': 'missing', [VISION]: 'missing' });
    await pullTiny({ model });
    expect(await states(model)).toEqual(Object.fromEntries(Q8.map((file) => [file, 'right'])));
    expect(JSON.parse(String(await read('model.lock.json')))).toMatchObject({
      commit: COMMIT,
      files: { 'config.json': { bytes: 500 }, [VISION]: { bytes: 400_000 } },
    });

    await writeFile(path.join(dir, 'config.json'), Buffer.alloc(500));
    expect(await states(model)).toMatchObject({ 'config.json': 'damaged' });
  });

  it('is refused when it is not what the hub describes', async () => {
    server.fault('config.json', { content: Buffer.alloc(500, 'x') });
    await expect(pullTiny({ model: manifestOf(files, { unpinned }) })).rejects.toThrow(/config.json .* its git id is/);
    expect(await kept()).not.toContain('config.json');
  });

  it('is downloaded from the commit of a branch', async () => {
    await pullTiny({ model: manifestOf(files, { unpinned, revision: 'main' }) });
    expect(server.seen.map((one) => one.path)).toContain('/api/models/acme/tiny/revision/main');
    expect(server.requestsFor('tokenizer.json')[0]?.path).toBe(`/acme/tiny/resolve/${COMMIT}/tokenizer.json`);
  });

  it('is found on any page of the listing', async () => {
    server.pageSize = 2;
    await pullTiny({ model: manifestOf(files, { unpinned }) });
    expect(await kept()).toEqual([...Q8, 'model.lock.json'].sort());
  });

  it('is locked for one revision of the manifest only', async () => {
    await pullTiny({ model: manifestOf(files, { unpinned }) });
    expect(await states(manifestOf(files, { unpinned, revision: 'main' }))).toMatchObject({ 'config.json': 'damaged' });
  });
});

describe('a connection that breaks', () => {
  it('is continued where it broke, as often as it makes progress', async () => {
    server.fault(VISION, ...Array.from({ length: 6 }, () => ({ cutAfter: 50_000 })));
    await pullTiny();
    expect(await isRight(VISION)).toBe(true);
    expect(server.requestsFor(VISION).map(({ range }) => range)).toEqual([
      undefined,
      ...[50, 100, 150, 200, 250, 300].map((kb) => `bytes=${kb}000-`),
    ]);
    expect(notices).toHaveLength(6);
  });

  it('is given up without progress; what was received is kept and continued the next time', async () => {
    server.fault(VISION, { cutAfter: 150_000 }, ...Array.from({ length: 3 }, () => ({ cutAfter: 0 })));
    await expect(pullTiny()).rejects.toThrow(/connection to 127.0.0.1.* failed/);
    expect((await kept()).filter((file) => file.endsWith('.part'))).toHaveLength(1);
    expect(await kept()).toContain(TEXT);

    server.seen.length = 0;
    expect((await pullTiny()).fetched.map(({ file }) => file)).toEqual([VISION]);
    expect(server.requestsFor(VISION).map(({ range }) => range)).toEqual(['bytes=150000-']);
    expect(await isRight(VISION)).toBe(true);
  });

  it('starts again at a server without ranges', async () => {
    server.supportsRanges = false;
    server.fault(VISION, { cutAfter: 150_000 });
    await pullTiny();
    expect(await isRight(VISION)).toBe(true);
  });

  it('starts again when the partial file has been damaged since', async () => {
    server.fault(VISION, { cutAfter: 150_000 }, ...Array.from({ length: 3 }, () => ({ cutAfter: 0 })));
    await expect(pullTiny()).rejects.toThrow('failed');
    const part = (await kept()).find((file) => file.endsWith('.part')) as string;
    await writeFile(path.join(dir, part), Buffer.alloc(150_000));
    await pullTiny();
    expect(await isRight(VISION)).toBe(true);
    expect(await kept()).toEqual(Q8);
  });

  it('is noticed when the peer just stops sending', async () => {
    server.fault(VISION, { silentAfter: 100_000 });
    await pullTiny({ idleTimeoutMs: 300 });
    expect(notices).toEqual([expect.stringMatching(/nothing arrived for 0.3 s/)]);
    expect(server.requestsFor(VISION).map(({ range }) => range)).toEqual([undefined, 'bytes=100000-']);
  });
});

describe('a file that is not the pinned one', () => {
  it.each([
    ['of the same length', Buffer.alloc(400_000), /is not the expected file: its sha256 is/],
    ['longer', Buffer.alloc(500_000), /longer than the 400000 bytes/],
  ])('is refused, and nothing of it kept: %s', async (_, content, message) => {
    server.fault(VISION, { content });
    await expect(pullTiny()).rejects.toThrow(message);
    expect(await kept()).toEqual(Q8.filter((file) => file !== VISION));
  });

  it('is given up when it is too short', async () => {
    server.fault(VISION, ...Array.from({ length: 4 }, () => ({ content: Buffer.alloc(1_000) })));
    await expect(pullTiny()).rejects.toThrow();
    expect(await kept()).not.toContain(VISION);
  });
});

describe('a hub that refuses', () => {
  it('for now (429) is asked again after the delay it demands', async () => {
    server.fault(VISION, { status: 429, headers: { 'retry-after': '1' } });
    server.fault(TEXT, { status: 429, headers: { ratelimit: '"resolvers";r=0;t=1' } });
    const start = performance.now();
    await pullTiny();
    expect(performance.now() - start).toBeGreaterThan(990);
    expect(notices).toEqual(
      Array(2).fill(expect.stringMatching(/refuses more requests for now \(429\). Trying again in 1 s/)),
    );
  });

  it('for longer than the policy allows is not waited for', async () => {
    server.fault(VISION, { status: 429, headers: { 'retry-after': '86400' } });
    await expect(pullTiny()).rejects.toThrow('429');
    expect(server.requestsFor(VISION)).toHaveLength(1);
  });

  it('because it fails (5xx) is asked again', async () => {
    server.fault(VISION, { status: 500 }, { status: 503 });
    await pullTiny();
    expect(await isRight(VISION)).toBe(true);
  });

  it('until the terms are accepted: the error says how to', async () => {
    server.gate = { status: 403, code: 'GatedRepo' };
    await expect(pullTiny()).rejects.toThrow(/Accept them on its page .* set HF_TOKEN/);
    expect(await kept()).toEqual([]);
  });

  it('without saying why is taken for private', async () => {
    server.gate = { status: 401, code: 'RepoNotFound' };
    await expect(pullTiny()).rejects.toThrow(/no such repository, or it is private: then set HF_TOKEN/);
    await expect(pullTiny({ token: 'hf_wrong' })).rejects.toThrow(/does not let this HF_TOKEN read/);
  });

  it('for a file it does not have: the error names the file', async () => {
    const model = manifestOf(files);
    model.source.repository = 'acme/other';
    await expect(pullTiny({ model })).rejects.toThrow(/404 \(EntryNotFound\) for \/acme\/other/);
  });
});

describe('a folder instead of a hub', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'onespace-folder-'));
    await mkdir(path.join(folder, 'onnx'));
    for (const file of Q8) await writeFile(path.join(folder, file), files.get(file) as Buffer);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const copy = (model = manifestOf(files)) =>
    pull(
      { model, dir, dtype: 'q8' },
      () => new FolderSource(folder),
      () => ({ skip: () => {}, advance: () => {} }),
    );

  it('provides the files it has', async () => {
    expect((await copy(manifestOf(files, { unpinned: ['config.json'] }))).fetched).toHaveLength(4);
    expect(await kept()).toEqual([...Q8, 'model.lock.json'].sort());
    expect(server.seen).toEqual([]);
  });

  it('that has another file than the pinned one is refused', async () => {
    await writeFile(path.join(folder, VISION), Buffer.alloc(400_000));
    await expect(copy()).rejects.toThrow(/vision_model_quantized.onnx is not the expected file/);
    expect(await kept()).toEqual(Q8.filter((file) => file !== VISION));
  });

  it('without a file: the error names the file', async () => {
    await rm(path.join(folder, 'tokenizer.json'));
    await expect(copy()).rejects.toThrow('has no file tokenizer.json');
    await rm(path.join(folder, 'config.json'));
    await expect(copy(manifestOf(files, { unpinned: ['config.json'] }))).rejects.toThrow('has no file config.json');
  });
});
