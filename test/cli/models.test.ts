import { execFile } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { manifestOf, repositoryFiles } from '../models/hub-model.js';
import { HubServer } from '../models/hub-server.js';

const run = promisify(execFile);
const files = repositoryFiles();
let server: HubServer;
let modelsDir: string;

beforeAll(async () => {
  server = await HubServer.start('acme/tiny', files);
});
afterAll(() => server.close());

beforeEach(async () => {
  modelsDir = await mkdtemp(path.join(tmpdir(), 'onespace-models-'));
  await mkdir(path.join(modelsDir, 'tiny'));
  await writeFile(path.join(modelsDir, 'tiny', 'model.json'), JSON.stringify(manifestOf(files)));
});
afterEach(() => rm(modelsDir, { recursive: true }));

const environment = (settings: Record<string, string> = {}) => ({
  ...process.env,
  MODELS_DIR: modelsDir,
  HF_ENDPOINT: server.url,
  ...settings,
});
const models = (args: string[], settings: Record<string, string> = {}) =>
  run(process.execPath, ['dist/src/cli/main.js', 'models', ...args], { env: environment(settings) });
const row = async (name: string) =>
  (await models(['list'])).stdout.split('\n').find((line) => line.startsWith(`${name} `)) ?? '';

describe('onespace models', () => {
  it('pulls through a cut connection, lists, verifies, repairs and removes', async () => {
    expect(await row('tiny')).toMatch(/^tiny +8 +text image +MIT +fp32 391 kB, q8 691 kB, q4 91.5 kB$/);
    server.fault('onnx/vision_model_quantized.onnx', { cutAfter: 100_000 });
    const pulled = await models(['pull', 'tiny', '--dtype', 'q8']);
    expect(pulled.stdout).toMatch(
      /^tiny \(q8\): 4 files are here and verified, 4 of them new\. .* MODEL=tiny DTYPE=q8 npm start\n$/,
    );
    expect(pulled.stderr).toMatch(/connection to 127.0.0.1:\d+ failed: .* Trying again in 1 s/);
    expect(pulled.stderr).toMatch(/^pulling tiny 691 kB\/691 kB /m);
    expect(await row('tiny')).toMatch(/fp32 391 kB, q8 here, q4 91.5 kB$/);
    expect((await models(['verify', 'tiny'])).stdout).toMatch(/^(right +tiny\/\S+\n){4}$/);

    await appendFile(path.join(modelsDir, 'tiny', 'tokenizer.json'), 'x');
    const damaged = await models(['verify']).catch((error: { code: number; stdout: string }) => error);
    expect(damaged).toMatchObject({ code: 1, stdout: expect.stringMatching(/^damaged +tiny\/tokenizer.json$/m) });
    expect((await models(['pull', 'tiny'], { DTYPE: 'q8' })).stdout).toContain(
      '4 files are here and verified, 1 of them new',
    );

    expect((await models(['remove', 'tiny'])).stdout).toBe('691 kB freed\n');
    expect(await readdir(path.join(modelsDir, 'tiny'))).toEqual(['model.json']);
  });

  it('pull from a folder where there is no network', async () => {
    const folder = path.join(modelsDir, 'tiny');
    await models(['pull', 'tiny', '--dtype', 'q8']);
    const copied = await mkdtemp(path.join(tmpdir(), 'onespace-copied-'));
    await cp(folder, copied, { recursive: true });
    await models(['remove', 'tiny']);

    const offline = { HF_HUB_OFFLINE: '1', HF_ENDPOINT: 'http://127.0.0.1:9' };
    await expect(models(['pull', 'tiny', '--dtype', 'q8'], offline)).rejects.toThrow(
      /HF_HUB_OFFLINE is set, and files of tiny are missing:\n\n {4}config.json\n[\s\S]*pull tiny --from FOLDER/,
    );
    const pulled = await models(['pull', 'tiny', '--dtype', 'q8', '--from', copied], offline);
    expect(pulled.stdout).toContain('4 of them new');
    expect((await models(['pull', 'tiny', '--dtype', 'q8'], offline)).stdout).toContain(
      '4 files are here and verified, 0 of them new',
    );
    await rm(copied, { recursive: true });
  });

  it('leave the bundled model alone', async () => {
    expect(await row('onespace-mini')).toMatch(/ 256 .* here$/);
    expect((await models(['verify', 'onespace-mini'])).stdout).toMatch(/^right +onespace-mini\/weights.bin$/m);
    await expect(models(['remove', 'onespace-mini'])).rejects.toThrow(/has no files to download/);
  });

  it('put the files of a model of the package into MODELS_DIR', async () => {
    // The stand-in does not have its files; the test is about the folder that they would go to.
    await expect(models(['pull', 'clip-vit-base-patch32', '--dtype', 'q8'])).rejects.toThrow(/404 \(EntryNotFound\)/);
    const manifest = await readFile(path.join(modelsDir, 'clip-vit-base-patch32', 'model.json'), 'utf8');
    expect(manifest).toBe(await readFile('models/clip-vit-base-patch32/model.json', 'utf8'));
  });
});

describe('starting a model that is not here', () => {
  const start = (settings: Record<string, string>) =>
    run(process.execPath, ['dist/src/main.js'], { env: environment({ PORT: '0', ...settings }) });

  it('names the command that downloads it', async () => {
    await expect(start({ MODEL: 'tiny', DTYPE: 'q8' })).rejects.toThrow(
      /tiny \(q8\) needs files[\s\S]*missing {2}onnx\/text_model_quantized.onnx[\s\S]*\n {4}npx onespace models pull tiny --dtype q8\n/,
    );
  });

  it('names the models that exist', async () => {
    await expect(start({ MODEL: 'nope' })).rejects.toThrow(
      /There is no model "nope". There are: .*onespace-mini.* tiny/,
    );
  });
});
