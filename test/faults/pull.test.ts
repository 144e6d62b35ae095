import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { manifestOf, repositoryFiles } from '../models/hub-model.js';
import { HubServer } from '../models/hub-server.js';
import { randomFrom } from '../random.js';
import { FAULTS, FaultyDisk, ROUNDS, SEED } from './disk.js';

const files = repositoryFiles();
const needed = ['config.json', 'onnx/text_model_quantized.onnx', 'onnx/vision_model_quantized.onnx', 'tokenizer.json'];
let disk: FaultyDisk;
let hub: HubServer;
beforeEach(async () => {
  disk = await FaultyDisk.open();
  hub = await HubServer.start('acme/tiny', files);
});
afterEach(async () => {
  await hub.close();
  await disk.remove();
});

/** Runs `onespace models COMMAND`. @returns its exit code and what it printed */
async function models(folder: string, ...command: string[]): Promise<[code: number | null, printed: string]> {
  const env = { ...process.env, ...disk.env, MODELS_DIR: folder, HF_ENDPOINT: hub.url };
  const child = spawn(process.execPath, [...disk.nodeOptions, 'dist/src/cli/main.js', 'models', ...command], { env });
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      printed += chunk;
    });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return [code, printed];
}

it(`a download whose disk fails says so, and is completed by the next one (seed ${SEED})`, {
  timeout: 60_000 + ROUNDS * 20_000,
}, async () => {
  const random = randomFrom(SEED);
  // It pins two of the files: a lockfile has to be written for the others.
  const manifest = manifestOf(files, { unpinned: ['config.json', 'onnx/vision_model_quantized.onnx'] });
  let failures = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const folder = disk.path(`models-${round}`);
    const own = `${folder}/${manifest.name}`;
    await mkdir(own, { recursive: true });
    await writeFile(`${own}/model.json`, JSON.stringify(manifest));
    const fault = FAULTS[round % FAULTS.length] as (typeof FAULTS)[number];
    await disk.break({ ...fault, folder, probability: random() < 0.3 ? 1 : 0.15, seed: SEED + round });
    const [code, printed] = await models(folder, 'pull', manifest.name, '--dtype', 'q8');
    if (code !== 0) {
      failures += 1;
      expect([code, printed]).toEqual([
        1,
        expect.stringMatching(/disk is full|disk has an error|read-only|too many files open/),
      ]);
      expect(printed).not.toContain('    at ');
    }
    await disk.mend();
    const [, again] = await models(folder, 'pull', manifest.name, '--dtype', 'q8');
    expect(again).toContain('4 files are here and verified');
    for (const file of needed) expect(await readFile(`${own}/${file}`)).toEqual(files.get(file));
    expect(await models(folder, 'verify', manifest.name)).toEqual([0, expect.not.stringMatching(/damaged|missing/)]);
  }
  // Without failures the test proves nothing.
  expect(failures).toBeGreaterThan(ROUNDS / 3);
});
