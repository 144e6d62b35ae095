import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const MAX_PACKAGE_BYTES = 20e6;
const MAX_MODEL_BYTES = 32e6;
const { version, dependencies, optionalDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};

/** A stranger's environment: none of npm's settings of this repository, above all not `ignore-scripts`. */
const clean = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_V8_COVERAGE$)/i.test(name)),
);
/**
 * Only the registry can be reached: every install script that fetches something from elsewhere fails, on any network.
 */
const registryOnly: NodeJS.ProcessEnv = {
  ...clean,
  ONNXRUNTIME_NODE_INSTALL: 'from-nowhere',
  FFMPEG_BINARIES_URL: 'http://127.0.0.1:9',
  npm_config_faiss_node_binary_host: 'http://127.0.0.1:9',
  GIT_ALLOW_PROTOCOL: 'none',
};

const registryAnswers = await run('npm', ['view', `fastify@${dependencies.fastify}`, 'version'], {
  env: clean,
  timeout: 30_000,
}).then(
  ({ stdout }) => stdout.includes(dependencies.fastify ?? ''),
  () => false,
);
if (!registryAnswers) console.warn('SKIPPED: no npm registry can be reached, so installing the package is not tested.');

describe('the package of the service', () => {
  let folder: string;
  let tarball: string;
  let model: string;
  let service: ChildProcess | undefined;

  async function stop(): Promise<void> {
    if (service?.exitCode !== null) return;
    service.kill('SIGTERM');
    await once(service, 'exit');
  }
  afterAll(async () => {
    await stop();
    await rm(folder, { recursive: true });
  });

  it('is small, and holds what the service needs and nothing else', async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'onespace-package-'));
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { env: clean });
    const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
    tarball = path.join(folder, packed.filename);
    expect(packed.filename).toBe(`onespace-${version}.tgz`);
    expect((await stat(tarball)).size).toBeLessThan(MAX_PACKAGE_BYTES);

    const files = packed.files.map((file) => file.path);
    const outside = files.filter((file) => !/^(dist\/(src|routes)|models)\/.|^[^/]+$|^deploy\/setup\.mjs$/.test(file));
    expect(outside).toEqual([]);
    expect(files.filter((file) => /training|\.png$|\.map$|(^|\/)\.|\.test\./.test(file))).toEqual([]);
    expect(files).toEqual(
      expect.arrayContaining([
        ...['LICENSE', 'NOTICE', 'README.md', 'package.json', 'deploy/setup.mjs'],
        ...['dist/src/main.js', 'dist/src/cli/main.js', 'dist/src/client/index.d.ts', 'dist/routes/embed.js'],
        ...['model.json', 'weights.bin', 'tokenizer.json', 'model.fp32.onnx', 'model.q8.onnx', 'README.md'].map(
          (file) => `models/onespace-mini/${file}`,
        ),
        'models/embeddinggemma-2/model.json',
      ]),
    );
  });

  it('leaves the larger model to a package of its own', async () => {
    const args = ['pack', './models/onespace-base', '--json', '--pack-destination', folder];
    const [packed] = JSON.parse((await run('npm', args, { env: clean })).stdout) as [
      { filename: string; files: { path: string }[] },
    ];
    model = path.join(folder, packed.filename);
    const { files } = JSON.parse(await readFile('models/onespace-base/model.json', 'utf8'));
    const held = ['LICENSE.md', 'README.md', 'model.json', 'package.json', ...Object.keys(files)];
    expect(packed.files.map((file) => file.path).sort()).toEqual(held.sort());
    expect((await stat(model)).size).toBeLessThan(MAX_MODEL_BYTES);
  });

  it.skipIf(!registryAnswers)(
    'installs in an empty folder with nothing but a registry, and serves',
    { timeout: 600_000 },
    async () => {
      const project = await mkdtemp(path.join(folder, 'project-'));
      const options = { cwd: project, env: registryOnly };
      await run('npm', ['init', '-y'], options);
      await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball, model], options);
      const { stdout } = await run('npx', ['onespace', '--version'], options);
      expect(stdout).toBe(`${version}\n`);

      // npm left out what its scripts could not complete: the first start has to provide it.
      const installed = (name: string) => stat(path.join(project, 'node_modules', name)).catch(() => undefined);
      expect(Object.keys(optionalDependencies)).toContain('faiss-node');
      expect(await installed('faiss-node')).toBeUndefined();

      const url = await serve(project);
      const body = ['-H', 'content-type: application/json', '-d', '{"text":"a red car"}'];
      const reply = await run('curl', ['-sS', '--fail-with-body', `${url}/embed/text`, ...body]);
      expect(JSON.parse(reply.stdout)).toMatchObject({ dim: 256, modal_type: 'text', tokens: 3 });
      expect((await run('curl', ['-sS', '--fail-with-body', `${url}/items`, ...body])).stdout).toContain('"id"');

      await stop();
      const larger = await serve(project, { MODEL: 'onespace-base', DATA_DIR: 'data-of-base' });
      const { stdout: health } = await run('curl', ['-sS', '--fail-with-body', `${larger}/health`]);
      expect(JSON.parse(health)).toMatchObject({ model: { name: 'onespace-base', dim: 256 } });
    },
  );

  async function serve(project: string, settings: Record<string, string> = {}): Promise<string> {
    service = spawn(process.execPath, ['node_modules/onespace/dist/src/cli/main.js', 'serve'], {
      cwd: project,
      env: { ...registryOnly, PORT: '0', ...settings },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    for await (const line of createInterface({ input: service.stderr as never })) {
      const url = /ready .*(http:\/\/\S+)/.exec(line)?.[1];
      if (url !== undefined) return url;
      stderr += `${line}\n`;
    }
    throw new Error(`The service ended before it was ready:\n${stderr}`);
  }
});
