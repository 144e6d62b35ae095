import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { ServiceProcess } from '../service-process.js';
import { startChroma } from '../store/chroma/chroma-server.js';

const MODEL = 'model="onespace-mini@9"';
const SOON = { timeout: 60_000, interval: 500 };
const folder = await mkdtemp(path.join(tmpdir(), 'onespace-store-up-'));
const chroma = await startChroma(path.join(folder, 'chroma'));

it.skipIf(chroma === undefined)('reports a store that is down, and no vectors of it', async () => {
  const service = await ServiceProcess.start({
    settings: { LOG_LEVEL: 'debug', STORE: 'chroma', CHROMA_URL: chroma?.url ?? '' },
  });
  const up = () => service.series(`onespace_store_up{${MODEL}}`);
  const vectors = () => service.series(`onespace_index_vectors{modality="text",${MODEL}}`);
  const search = () =>
    fetch(`${service.url}/retrieve`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"text":"a red car"}',
    });
  try {
    expect((await search()).status).toBe(200);
    await expect.poll(up, SOON).toBe(1);
    await expect.poll(vectors, SOON).toBe(0);
    expect(await service.series(`onespace_store_failures_total{operation="search",${MODEL}}`)).toBe(0);
    await chroma?.stop();
    expect((await search()).status).toBe(503);
    await expect.poll(up, SOON).toBe(0);
    expect(await vectors()).toBeUndefined();
    expect(await service.series(`onespace_store_failures_total{operation="search",${MODEL}}`)).toBeGreaterThan(0);
    expect(await service.series('onespace_requests_total{method="POST",route="/retrieve",outcome="failed"}')).toBe(1);
  } finally {
    await service.stop();
    await chroma?.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
