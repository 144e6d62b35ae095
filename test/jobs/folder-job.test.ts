import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeVideo, source } from '../media/support.js';
import { problemOf, startServer, type TestServer } from '../server.js';
import { ServiceProcess } from '../service-process.js';

interface Job {
  id: string;
  state: string;
  counts: Record<'found' | 'unchanged' | 'stored' | 'updated' | 'moved' | 'refused' | 'removed', number>;
  problem?: string;
}

let folder: string;
let root: string;
let server: TestServer;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-jobs-'));
  root = path.join(folder, 'root');
  await mkdir(path.join(root, '2019'), { recursive: true });
  await writeFile(path.join(folder, 'secret.jpg'), await photo(0));
  server = await startServer({ MEDIA_ROOTS: `photos=${root}` });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const photo = (seed: number) =>
  sharp({
    create: {
      width: 64,
      height: 48,
      channels: 3,
      background: { r: seed % 256, g: (seed * 7) % 256, b: (seed * 31) % 256 },
    },
  })
    .jpeg()
    .toBuffer();

const get = async (url: string, route: string) => (await fetch(url + route)).json();
const post = (url: string, route: string, body?: object) =>
  fetch(url + route, {
    method: 'POST',
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });

async function ended(url: string, id: string, states = ['done', 'failed', 'cancelled']): Promise<Job> {
  for (let i = 0; i < 600; i++) {
    const job = (await get(url, `/jobs/${id}`)) as Job;
    if (states.includes(job.state)) return job;
    await sleep(50);
  }
  throw new Error('the job does not end');
}

async function run(body: object): Promise<Job> {
  const reply = await post(server.url, '/jobs', body);
  expect(reply.status).toBe(202);
  const job = (await reply.json()) as Job;
  expect(reply.headers.get('location')).toBe(`/jobs/${job.id}`);
  return ended(server.url, job.id);
}

describe('a file of a media root', () => {
  it('is stored by its path, and keeps where it lies and when it was changed', async () => {
    await writeFile(path.join(root, '2019/IMG_20190601_123456.jpg'), await photo(1));
    const reply = await post(server.url, '/items', { id: 'a', path: 'photos/2019/IMG_20190601_123456.jpg' });
    expect(reply.status).toBe(201);
    expect(await reply.json()).toMatchObject({
      modal_type: 'image',
      metadata: {
        path: 'photos/2019/IMG_20190601_123456.jpg',
        bytes: (await photo(1)).length,
        modified_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        taken_at: '2019-06-01T12:34:56',
      },
    });
    await rm(path.join(root, '2019/IMG_20190601_123456.jpg'));
  });

  it.each([
    ['photos/../secret.jpg', 400],
    ['photos/./a.jpg', 400],
    ['photos//a.jpg', 400],
    ['/etc/passwd', 404],
    ['photos/a\u0000.jpg', 400],
    ['other/a.jpg', 404],
    ['photos/nowhere.jpg', 404],
    ['photos/2019', 404],
    ['photos', 404],
    ['photos/out.jpg', 403],
    ['photos/outside/secret.jpg', 403],
    ['photos/pipe', 404],
    ['photos/text.txt', 415],
  ])('is refused as %s', async (file, status) => {
    await symlink(path.join(folder, 'secret.jpg'), path.join(root, 'out.jpg')).catch(() => {});
    await symlink(folder, path.join(root, 'outside')).catch(() => {});
    await writeFile(path.join(root, 'text.txt'), 'text');
    const { execFileSync } = await import('node:child_process');
    execFileSync('sh', ['-c', `test -p "${root}/pipe" || mkfifo "${root}/pipe"`]);
    const problem = await problemOf(await post(server.url, '/items', { path: file }));
    expect(problem.status).toBe(status);
    expect(problem.detail).not.toContain(folder);
    for (const name of ['out.jpg', 'outside', 'text.txt', 'pipe']) await rm(path.join(root, name), { force: true });
  });
});

describe('a job', () => {
  it('indexes a folder, and afterwards touches only what has changed', async () => {
    for (let i = 0; i < 40; i++) await writeFile(path.join(root, `2019/${i}.jpg`), await photo(i));
    await writeFile(path.join(root, '2019/broken.jpg'), Buffer.concat([(await photo(9)).subarray(0, 200)]));
    const first = await run({ folder: 'photos' });
    expect(first).toMatchObject({ state: 'done', counts: { found: 41, stored: 40, refused: 1, unchanged: 0 } });
    const { refused } = (await get(server.url, `/jobs/${first.id}/refused`)) as { refused: object[] };
    expect(refused).toEqual([{ file: 'photos/2019/broken.jpg', reason: expect.stringContaining('cannot be decoded') }]);
    expect(await run({ folder: 'photos/2019' })).toMatchObject({
      counts: { found: 41, unchanged: 40, stored: 0, refused: 1 },
    });

    const before = await get(server.url, `/items/${encodeURIComponent('photos/2019/2.jpg')}?include=embedding`);
    await rm(path.join(root, '2019/broken.jpg'));
    await writeFile(path.join(root, '2019/0.jpg'), await photo(200));
    await utimes(path.join(root, '2019/1.jpg'), new Date(), new Date('2020-01-01T00:00:00Z'));
    await rename(path.join(root, '2019/2.jpg'), path.join(root, '2019/renamed.jpg'));
    await rm(path.join(root, '2019/3.jpg'));
    expect(await run({ folder: 'photos', prune: true })).toMatchObject({
      state: 'done',
      // One was only touched, one only renamed: neither is embedded again.
      counts: { found: 39, unchanged: 36, stored: 1, updated: 1, moved: 1, refused: 0, removed: 1 },
    });
    expect((await fetch(`${server.url}/items/${encodeURIComponent('photos/2019/3.jpg')}`)).status).toBe(404);
    expect((await fetch(`${server.url}/items/${encodeURIComponent('photos/2019/2.jpg')}`)).status).toBe(404);
    const item = (name: string) =>
      get(server.url, `/items/${encodeURIComponent(`photos/2019/${name}`)}?include=embedding`);
    expect(await item('renamed.jpg')).toMatchObject({ metadata: { path: 'photos/2019/renamed.jpg' } });
    const { embedding } = await item('renamed.jpg');
    for (const [i, value] of embedding.entries()) expect(value).toBeCloseTo(before.embedding[i], 6);
    expect((await item('1.jpg')).metadata.modified_at).toBe('2020-01-01T00:00:00.000Z');
    expect(await run({ folder: 'photos' })).toMatchObject({ counts: { found: 39, unchanged: 39, stored: 0 } });
  });

  it('is refused at once for what is no folder of a root, and unknown jobs are', async () => {
    for (const [name, status] of [
      ['photos/nowhere', 404],
      ['other', 404],
      ['photos/..', 400],
      ['photos/2019/0.jpg', 404],
    ] as const)
      expect((await problemOf(await post(server.url, '/jobs', { folder: name }))).status).toBe(status);
    expect((await fetch(`${server.url}/jobs/none`)).status).toBe(404);
    const { jobs } = (await get(server.url, '/jobs')) as { jobs: Job[] };
    expect(jobs.length).toBeGreaterThan(2);
    expect((await problemOf(await post(server.url, `/jobs/${jobs[0]?.id}/pause`))).status).toBe(409);
  });

  it('is paused, goes on, and is cancelled', async () => {
    for (let i = 0; i < 300; i++) await writeFile(path.join(root, `many-${i}.jpg`), await photo(1000 + i));
    const { id } = (await (await post(server.url, '/jobs', { folder: 'photos' })).json()) as Job;
    await ended(server.url, id, ['running']);
    await sleep(300);
    const paused = (await (await post(server.url, `/jobs/${id}/pause`)).json()) as Job;
    expect(paused.state).toBe('paused');
    expect(paused.counts.stored).toBeLessThan(300);
    await sleep(300);
    expect((await get(server.url, `/jobs/${id}`)).counts).toEqual(paused.counts);
    expect((await (await post(server.url, `/jobs/${id}/resume`)).json()).state).toMatch(/queued|running/);
    expect(await ended(server.url, id)).toMatchObject({ state: 'done', counts: { found: 339 } });
    for (let i = 0; i < 300; i++) await writeFile(path.join(root, `many-${i}.jpg`), await photo(2000 + i));
    const other = (await (await post(server.url, '/jobs', { folder: 'photos' })).json()) as Job;
    await ended(server.url, other.id, ['running']);
    expect((await (await post(server.url, `/jobs/${other.id}/cancel`)).json()).state).toBe('cancelled');
    for (let i = 0; i < 300; i++) await rm(path.join(root, `many-${i}.jpg`));
  });
});

describe('a job that removes items whose file is gone', () => {
  it('removes nothing where the folder is empty, as an unmounted disk is, or cannot be read', async () => {
    const disk = path.join(root, 'disk');
    await mkdir(path.join(disk, 'sub'), { recursive: true });
    for (const name of ['a.jpg', 'sub/b.jpg']) await writeFile(path.join(disk, name), await photo(name.length * 31));
    const prune = { folder: 'photos/disk', prune: true };
    expect(await run(prune)).toMatchObject({ state: 'done', counts: { stored: 2 } });
    const away = path.join(root, 'away');
    await rename(disk, away);
    await mkdir(disk);
    expect(await run(prune)).toMatchObject({ state: 'failed', problem: expect.stringContaining('not mounted') });
    expect(await run({ ...prune, dry_run: true })).toMatchObject({ state: 'failed' });
    await rm(disk, { recursive: true });
    await rename(away, disk);
    expect(await run(prune)).toMatchObject({ state: 'done', counts: { found: 2, unchanged: 2, removed: 0 } });
    await rm(path.join(disk, 'a.jpg'));
    expect(await run(prune)).toMatchObject({ state: 'done', counts: { found: 1, removed: 1 } });
  });
});

describe('a Live Photo', () => {
  it('is one item: its film is part of it, and no other file of the same name is', async () => {
    const live = path.join(root, 'live');
    await mkdir(live);
    const clip = (tag?: string) =>
      makeVideo(
        live,
        'x.mov',
        ...source('testsrc', '64x48', 1),
        ...(tag ? ['-metadata', `${tag}=1`] : []),
        '-movflags',
        'use_metadata_tags',
      );
    await writeFile(path.join(live, 'IMG_1.MOV'), await clip('com.apple.quicktime.content.identifier'));
    await writeFile(path.join(live, 'party.mov'), await clip());
    await rm(path.join(live, 'x.mov'));
    for (const name of ['IMG_1.jpg', 'party.jpg']) await writeFile(path.join(live, name), await photo(name.length));
    expect(await run({ folder: 'photos/live' })).toMatchObject({ counts: { found: 3, stored: 3, refused: 0 } });
    const item = () => get(server.url, `/items/${encodeURIComponent('photos/live/IMG_1.jpg')}`);
    expect(await item()).toMatchObject({
      modal_type: 'image',
      metadata: { live_clip: { path: 'photos/live/IMG_1.MOV' } },
    });
    expect((await fetch(`${server.url}/items/${encodeURIComponent('photos/live/IMG_1.MOV')}`)).status).toBe(404);
    expect(await run({ folder: 'photos/live' })).toMatchObject({ counts: { found: 3, stored: 0, unchanged: 3 } });
    await rm(path.join(live, 'IMG_1.MOV'));
    expect(await run({ folder: 'photos/live' })).toMatchObject({
      counts: { found: 3, stored: 0, unchanged: 2, updated: 1 },
    });
    expect((await item()).metadata.live_clip).toBeUndefined();
  });
});

describe('what lies beside a photo', () => {
  const beside = () => path.join(root, 'beside');
  const xmp = (caption: string) => `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
    xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"
    ><dc:description><rdf:Alt><rdf:li xml:lang="x-default">${caption}</rdf:li></rdf:Alt></dc:description>
    </rdf:Description></rdf:RDF></x:xmpmeta>`;
  const item = (name = 'a.jpg') => get(server.url, `/items/${encodeURIComponent(`photos/beside/${name}`)}`);

  it('is read again when it changes, comes or goes, and the photo is not', async () => {
    await mkdir(beside());
    for (const name of ['a.jpg', 'b.jpg']) await writeFile(path.join(beside(), name), await photo(name.charCodeAt(0)));
    expect(await run({ folder: 'photos/beside' })).toMatchObject({ counts: { found: 2, stored: 2 } });
    expect((await item()).metadata.sidecars).toBeUndefined();

    await writeFile(path.join(beside(), 'a.jpg.xmp'), xmp('Two dogs'));
    expect(await run({ folder: 'photos/beside', dry_run: true })).toMatchObject({
      counts: { unchanged: 1, updated: 1 },
    });
    expect(await run({ folder: 'photos/beside' })).toMatchObject({ counts: { unchanged: 1, updated: 1, stored: 0 } });
    expect((await item()).metadata).toMatchObject({
      caption: 'Two dogs',
      sidecars: [{ path: 'photos/beside/a.jpg.xmp', bytes: xmp('Two dogs').length }],
    });

    await writeFile(path.join(beside(), 'a.jpg.xmp'), xmp('Three dogs'));
    expect(await run({ folder: 'photos/beside' })).toMatchObject({ counts: { unchanged: 1, updated: 1, stored: 0 } });
    expect((await item()).metadata.caption).toBe('Three dogs');
    expect(await run({ folder: 'photos/beside' })).toMatchObject({ counts: { unchanged: 2, updated: 0, stored: 0 } });

    await rename(path.join(beside(), 'a.jpg'), path.join(beside(), 'c.jpg'));
    await rename(path.join(beside(), 'a.jpg.xmp'), path.join(beside(), 'c.jpg.xmp'));
    expect(await run({ folder: 'photos/beside' })).toMatchObject({ counts: { unchanged: 1, moved: 1, stored: 0 } });
    expect((await item('c.jpg')).metadata).toMatchObject({
      caption: 'Three dogs',
      sidecars: [{ path: 'photos/beside/c.jpg.xmp' }],
    });

    await rm(path.join(beside(), 'c.jpg.xmp'));
    expect(await run({ folder: 'photos/beside' })).toMatchObject({ counts: { unchanged: 1, updated: 1, stored: 0 } });
    const { metadata } = await item('c.jpg');
    expect(metadata).toMatchObject({ path: 'photos/beside/c.jpg', width: 64, height: 48 });
    expect(metadata.caption).toBeUndefined();
    expect(metadata.sidecars).toBeUndefined();
  });

  it('is found for a photo that is stored by its path, also a moment after it was written', async () => {
    await writeFile(path.join(beside(), 'd.jpg'), await photo(400));
    const store = async () =>
      (await (await post(server.url, '/items', { path: 'photos/beside/d.jpg' })).json()).metadata;
    expect((await store()).caption).toBeUndefined();
    for (const caption of ['One', 'Two']) {
      await writeFile(path.join(beside(), 'd.xmp'), xmp(caption));
      expect((await store()).caption).toBe(caption);
    }
    await rm(path.join(beside(), 'd.xmp'));
    expect((await store()).caption).toBeUndefined();
  });
});

describe('items that are sent with "Prefer: respond-async"', () => {
  const later = (body: object, prefer = 'respond-async') =>
    fetch(`${server.url}/items`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer },
      body: JSON.stringify(body),
    });

  it('are stored by a job: the right ones, and the wrong ones are listed', async () => {
    await writeFile(path.join(root, 'later.jpg'), await photo(77));
    const items = [
      { id: 'later-1', path: 'photos/later.jpg', metadata: { year: 2019 } },
      { id: 'later-2', text: 'a red car' },
      { id: 'later-3', path: 'photos/nowhere.jpg' },
      { id: 'later-4', text: 5 },
      ...Array.from({ length: 40 }, (_, i) => ({ id: `later-t${i}`, text: `text ${i}` })),
    ];
    const reply = await later(items, 'wait=5, respond-async;x=1');
    expect(reply.status).toBe(202);
    expect(reply.headers.get('preference-applied')).toBe('respond-async');
    const job = (await reply.json()) as Job;
    expect(reply.headers.get('location')).toBe(`/jobs/${job.id}`);
    expect(await ended(server.url, job.id)).toMatchObject({
      state: 'done',
      items: 44,
      counts: { found: 44, stored: 42, refused: 2 },
    });
    const { refused } = (await get(server.url, `/jobs/${job.id}/refused`)) as { refused: { file: string }[] };
    expect(refused).toHaveLength(2);
    expect(refused.map(({ file }) => file)).toContain('later-3');
    expect(await get(server.url, '/items/later-1')).toMatchObject({
      metadata: { year: 2019, path: 'photos/later.jpg' },
    });
    expect((await fetch(`${server.url}/items/later-t39`)).status).toBe(200);
  });

  it('a single one, too; and what is invalid as a whole is refused at once', async () => {
    const job = (await (await later({ id: 'alone', text: 'a tree' })).json()) as Job;
    expect(await ended(server.url, job.id)).toMatchObject({ counts: { found: 1, stored: 1 } });
    expect((await later({ id: 'alone', texxt: 'a tree' })).status).toBe(400);
    expect((await later({ id: 'now', text: 'a tree' }, 'return=minimal')).status).toBe(201);
  });
});

describe('a job whose service is killed', () => {
  it('goes on at the next start, and does nothing twice', async () => {
    const own = path.join(folder, 'own');
    await mkdir(own);
    for (let i = 0; i < 400; i++) await writeFile(path.join(own, `${i}.jpg`), await photo(5000 + i));
    const settings = { MEDIA_ROOTS: `own=${own}`, DATA_DIR: path.join(folder, 'data'), LOG_LEVEL: 'error' };
    let service = await ServiceProcess.start({ settings });
    const { id } = (await (await post(service.url, '/jobs', { folder: 'own' })).json()) as Job;
    let stored = 0;
    for (let kill = 0; kill < 3; kill++) {
      await sleep(1200);
      await service.kill();
      service = await ServiceProcess.start({ settings });
      const job = (await get(service.url, `/jobs/${id}`)) as Job;
      expect(['queued', 'running', 'done']).toContain(job.state);
    }
    const job = await ended(service.url, id);
    stored += job.counts.stored;
    expect(job).toMatchObject({ state: 'done', counts: { found: 400, refused: 0 } });
    expect(job.counts.unchanged + stored).toBe(400);
    let items = 0;
    for (let cursor: string | undefined, more = true; more; ) {
      const page = (await get(service.url, `/items?limit=1000${cursor ? `&cursor=${cursor}` : ''}`)) as {
        items: object[];
        next_cursor?: string;
      };
      items += page.items.length;
      cursor = page.next_cursor;
      more = cursor !== undefined;
    }
    expect(items).toBe(400);
    await service.stop();
  }, 120_000);
});
