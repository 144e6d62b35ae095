import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServiceProcess } from '../service-process.js';
import { type Archive, makeArchive } from './make-archive.js';

/** ARCHIVE_FILES=5000 makes an archive of that size. */
const FILES = Number(process.env.ARCHIVE_FILES ?? 150);
const KILLS = 5;

interface Job {
  id: string;
  state: string;
  counts: Record<'found' | 'unchanged' | 'stored' | 'refused', number>;
}
interface Hit {
  id: string;
  score: number;
  metadata: Record<string, unknown>;
}

describe('an archive in thirty formats, with what is damaged, odd and enormous, whose service is killed five times', () => {
  let folder: string;
  let root: string;
  let archive: Archive;
  let service: ServiceProcess;
  let job: Job;
  const settings = () => ({ MEDIA_ROOTS: `archive=${root}`, DATA_DIR: path.join(folder, 'data'), LOG_LEVEL: 'error' });
  const get = async (route: string) => (await fetch(service.url + route)).json();
  const post = async (route: string, body: object) => {
    const headers = { 'content-type': 'application/json' };
    return (await fetch(service.url + route, { method: 'POST', headers, body: JSON.stringify(body) })).json();
  };

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'onespace-archive-'));
    root = path.join(folder, 'archive');
    archive = await makeArchive(root, FILES);
    service = await ServiceProcess.start({ settings: settings() });
    job = await post('/jobs', { folder: 'archive' });
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(800 + 400 * kill);
      await service.kill();
      service = await ServiceProcess.start({ settings: settings() });
    }
    while (!['done', 'failed'].includes(job.state)) {
      job = await get(`/jobs/${job.id}`);
      await sleep(200);
    }
  }, 1_800_000);
  afterAll(async () => {
    await service.stop();
    await rm(folder, { recursive: true });
  });

  it('everything that can be read is stored once, and what cannot is listed with its reason', async () => {
    const { refused } = (await get(`/jobs/${job.id}/refused`)) as { refused: { file: string; reason: string }[] };
    expect(refused.map(({ file }) => file).sort(), JSON.stringify(refused)).toEqual(
      archive.unreadable.map((name) => `archive/${name}`).sort(),
    );
    const stored = FILES + 1;
    expect(job).toMatchObject({
      state: 'done',
      counts: { found: stored + archive.unreadable.length, refused: archive.unreadable.length },
    });
    expect(job.counts.stored + job.counts.unchanged).toBe(stored);
    for (const { file, reason } of refused) expect(reason.length, file).toBeGreaterThan(15);
    expect(refused.map(({ reason }) => reason).join()).not.toContain(folder);
    const ids = new Set<string>();
    for (let cursor = '', more = true; more; ) {
      const page = await get(`/items?limit=1000${cursor && `&cursor=${cursor}`}`);
      for (const { id } of page.items) ids.add(id);
      cursor = page.next_cursor ?? '';
      more = cursor !== '';
    }
    expect(ids.size).toBe(stored);
  });

  it('each format is found by what it shows', async () => {
    const missed: string[] = [];
    for (const { name, sample, modality } of archive.files) {
      const form = new FormData();
      form.append('file', new Blob([await readFile(`samples/images/${sample}`)]));
      form.append('modal_type', modality);
      form.append('top_k', '3');
      // Copies in other colours may come as near as a coarse codec; the archive's own folders have none.
      form.append('filter', JSON.stringify({ taken_at_from: { $ne: 'modified' } }));
      const { results } = (await (await fetch(`${service.url}/retrieve`, { method: 'POST', body: form })).json()) as {
        results: Hit[];
      };
      if (!results.some(({ id }) => id === `archive/${name}`)) missed.push(name);
    }
    expect(missed).toEqual([]);
  });

  it('and by the day on which it was taken', async () => {
    for (const { name, day, modality } of archive.files) {
      const filter = { taken_at: { $gte: day, $lt: `${day}T24` } };
      const { results } = (await post('/retrieve', { text: 'x', modal_type: modality, filter, top_k: 50 })) as {
        results: Hit[];
      };
      expect(
        results.map(({ id }) => id),
        day,
      ).toContain(`archive/${name}`);
    }
  });

  it('a second run reads nothing', async () => {
    let again: Job = await post('/jobs', { folder: 'archive' });
    while (!['done', 'failed'].includes(again.state)) {
      await sleep(50);
      again = await get(`/jobs/${again.id}`);
    }
    expect(again.counts).toMatchObject({ unchanged: FILES + 1, stored: 0 });
  });
});
