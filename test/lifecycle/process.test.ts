import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mp4 } from '../media-files.js';
import { postJson, ServiceProcess } from '../service-process.js';

let dataDir: string;
let running: ServiceProcess | undefined;

beforeEach(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), 'onespace-process-'));
});
afterEach(async () => {
  await running?.kill();
  await rm(dataDir, { recursive: true });
});

const spawn = async (settings: Record<string, string> = {}) => {
  running = await ServiceProcess.spawn({ settings: { ...settings, DATA_DIR: dataDir } });
  return running;
};
const serve = async () => {
  running = await ServiceProcess.start({ settings: { DATA_DIR: dataDir } });
  return running;
};

const underWay = async (url: string) =>
  /^onespace_requests_under_way (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1];

/** Whether a process has loaded a native module, as Linux tells: it is starting, and not yet done. */
const loadsModules = async (pid: number | undefined): Promise<boolean> =>
  (await readFile(`/proc/${pid}/maps`, 'utf8')).includes('.node\n');

function postFile(url: string, file: Buffer): Promise<Response> {
  const form = new FormData();
  form.set('file', new Blob([new Uint8Array(file)]), 'clip.mp4');
  return fetch(url, { method: 'POST', body: form });
}

describe('the process', () => {
  it('finishes accepted requests on SIGTERM, then exits with 0', async () => {
    const service = await serve();
    const { url } = service;
    const clip = await mp4('testsrc=duration=8:size=1280x720:rate=25');
    const replies = Array.from({ length: 6 }, () => postFile(`${url}/embed/video`, clip));
    await expect.poll(() => underWay(url)).toBe('6');
    service.child.kill('SIGTERM');
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual(Array(6).fill(200));
    expect(await service.exit).toEqual([0, null]);
  });

  it.skipIf(process.platform !== 'linux')('ends with success when told to stop while it starts', async () => {
    const service = await spawn();
    await expect.poll(() => loadsModules(service.child.pid), { interval: 5, timeout: 30_000 }).toBe(true);
    expect(await service.stop()).toEqual([0, null]);
    expect(service.stderr).toBe('');
  });

  it('ends at once when it is told to stop a second time', async () => {
    const service = await serve();
    const upload = request(`${service.url}/embed/image`, {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg', 'content-length': 1000 },
    });
    const isCutOff = expect(once(upload, 'response')).rejects.toThrow();
    upload.write(Buffer.from([0xff, 0xd8, 0xff, 0xe0]));
    await expect.poll(() => underWay(service.url)).toBe('1');
    service.child.kill('SIGTERM');
    await expect.poll(() => service.logs.some(({ msg }) => /^SIGTERM: finishing/.test(String(msg)))).toBe(true);
    // Within a second both would be one wish to stop.
    await sleep(1500);
    service.child.kill('SIGTERM');
    expect(await service.exit).toEqual([1, null]);
    await isCutOff;
  });

  it('has every acknowledged write after kill -9', async () => {
    const first = await serve();
    for (let i = 0; i < 5; i++) await postJson(`${first.url}/items`, { id: `item ${i}`, text: `a thing number ${i}` });
    await fetch(`${first.url}/items/item%203`, { method: 'DELETE' });
    await first.kill();

    const { url } = await serve();
    const { items } = (await (await fetch(`${url}/items`)).json()) as { items: { id: string }[] };
    expect(items.map(({ id }) => id)).toEqual(['item 0', 'item 1', 'item 2', 'item 4']);
    const reply = await postJson(`${url}/retrieve`, { text: 'a thing number 4', top_k: 1 });
    expect(await reply.json()).toMatchObject({ results: [{ id: 'item 4', modal_type: 'text' }] });
  });

  it('logs one line of JSON per request, with the request id of the reply', async () => {
    const service = await serve();
    const requestId = (await fetch(`${service.url}/nothing`)).headers.get('x-request-id');
    await expect
      .poll(() => service.logs.find(({ request_id }) => request_id === requestId))
      .toMatchObject({ status: 404, path: '/nothing' });
  });

  it.each([
    [{ PORT: 'eighty' }, /PORT=eighty: must be an integer from 0 to 65535/],
    [{ MODEL: 'no-such-model' }, /There is no model "no-such-model"/],
  ])('reports what is wrong with %j, and exits with an error', async (settings, message) => {
    const printed = await ServiceProcess.failure({ settings: { ...settings, DATA_DIR: dataDir } });
    expect(printed).toMatch(message);
    expect(printed).not.toContain('    at ');
  });
});
