import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ServiceProcess } from '../service-process.js';

let folder: string;
const data = () => path.join(folder, 'data');

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-startup-'));
  await chmod(folder, 0o755);
});
afterEach(() => rm(folder, { recursive: true }));

/** A copy of the built package whose dependencies are links, but for one that is a copy or left out. */
async function installation(name: string, keep: boolean): Promise<string> {
  const root = path.join(folder, 'installed');
  await mkdir(path.join(root, 'node_modules'), { recursive: true });
  for (const part of ['dist', 'package.json', 'deploy']) await cp(part, path.join(root, part), { recursive: true });
  await symlink(path.resolve('models'), path.join(root, 'models'));
  for (const one of await readdir('node_modules')) {
    if (one !== name) await symlink(path.resolve('node_modules', one), path.join(root, 'node_modules', one));
    else if (keep) await cp(path.join('node_modules', one), path.join(root, 'node_modules', one), { recursive: true });
  }
  return root;
}

describe('a start without the FAISS binding', () => {
  it.each([
    ['the package', false, ''],
    ['its binary', true, undefined],
    ['a whole binary', true, 'half of it'],
  ])('names the command that provides it: without %s', async (_, keep, content) => {
    const root = await installation('faiss-node', keep);
    const binary = path.join(root, 'node_modules/faiss-node/build/Release/faiss-node.node');
    if (keep) await rm(binary, { force: true });
    if (keep && content !== undefined) await writeFile(binary, content);
    const printed = await ServiceProcess.failure({ settings: { DATA_DIR: data(), LOG_LEVEL: 'error' }, root });
    expect(printed).toMatch(/The binding of FAISS cannot be loaded: .*(Cannot find|locate|too short|invalid)/);
    expect(printed).toContain(`node ${root}/deploy/setup.mjs natives faiss`);
    expect(printed).not.toContain('    at ');
    expect(printed.split('\n').length).toBeLessThan(8);
  });
});

describe('a start with a broken model', () => {
  const copy = async () => {
    const model = path.join(folder, 'model');
    await cp('models/onespace-mini', model, { recursive: true, filter: (file) => !file.includes('training') });
    return model;
  };
  const printedFor = (model: string) =>
    ServiceProcess.failure({ settings: { MODEL: model, DATA_DIR: data(), LOG_LEVEL: 'error' } });

  it.each([
    ['{"name":', /model\.json is not JSON: /],
    ['[]', /it must be an object/],
    [{ family: 'bert' }, /family: must be one of unified, .*, not "bert"/],
    [{ dim: '256', revision: undefined }, /revision: is missing\n(?:.*\n)*? {2}dim: must be integer, not "256"/],
    [
      { video: { side: 64, min_frames: 0 } },
      /video\.max_frames: is missing\n(?:.*\n)*? {2}video\.min_frames: must be >= 1, not 0/,
    ],
  ])('names the file, the field and what is wrong in %j', async (change, message) => {
    const model = await copy();
    const file = path.join(model, 'model.json');
    const manifest = JSON.parse(await readFile(file, 'utf8'));
    await writeFile(file, typeof change === 'string' ? change : JSON.stringify({ ...manifest, ...change }));
    const printed = await printedFor(model);
    expect(printed).toMatch(message);
    expect(printed).toContain(file);
    expect(printed).not.toContain('    at ');
  });

  it('names missing and damaged files, and what to do', async () => {
    const model = await copy();
    await truncate(path.join(model, 'weights.bin'), 1000);
    await rm(path.join(model, 'tokenizer.json'));
    const printed = await printedFor(model);
    expect(printed).toMatch(/damaged {2}weights\.bin/);
    expect(printed).toMatch(/missing {2}tokenizer\.json/);
    expect(printed).toContain('Copy the folder again from where it came from.');
  });
});

describe('a start with a folder that it may not use', () => {
  const isRoot = process.getuid?.() === 0;
  /** Someone who owns nothing here. */
  const nobody = isRoot ? { uid: 65534, gid: 65534 } : {};

  it('names the folder, its owner and this user', async () => {
    await mkdir(data(), { mode: 0o500 });
    const printed = await ServiceProcess.failure({ settings: { DATA_DIR: data(), HOME: folder }, user: nobody });
    expect(printed).toContain(`${data()}`);
    expect(printed).toMatch(isRoot ? /User 65534 .*belongs to user 0 and has mode 500/ : /has mode 500|write access/);
  });

  it('names a folder within it that belongs to another user', async () => {
    await mkdir(path.join(data(), 'index'), { recursive: true });
    await chmod(data(), 0o777);
    await chmod(path.join(data(), 'index'), 0o500);
    const printed = await ServiceProcess.failure({ settings: { DATA_DIR: data(), HOME: folder }, user: nobody });
    expect(printed).toMatch(
      /User \d+ \(.*\) may not use .*index.*: .*\/data\/index belongs to user \d+ and has mode 500/,
    );
    expect(printed).toMatch(/chown -R \d+ .*\/data\/index" as root\. Or set DATA_DIR/);
  });

  it('names a file where a folder should be', async () => {
    await writeFile(data(), 'a file');
    const printed = await ServiceProcess.failure({ settings: { DATA_DIR: data() } });
    expect(printed).toContain(`${data()} is not a folder.`);
  });
});

it('warns of what looks like a misspelt setting, without its value', async () => {
  const service = await ServiceProcess.start({
    settings: { DATA_DIR: data(), CACHE_DISC_MB: 'secret-1', ONESPACE_DATA_DIR: 'secret-2' },
  });
  await service.stop();
  const { logs } = service;
  const warnings = logs.filter(({ level }) => level === 40).map(({ msg }) => msg);
  expect(warnings).toEqual([
    expect.stringMatching(/^CACHE_DISC_MB is not a setting.*did you mean CACHE_DISK_MB\?$/),
    expect.stringMatching(/^ONESPACE_DATA_DIR is not a setting.*did you mean DATA_DIR\?$/),
  ]);
  expect(JSON.stringify(logs)).not.toContain('secret-');
});
