import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from '../server.js';

const run = promisify(execFile);
const TSC = path.resolve('node_modules/.bin/tsc');
const TYPE_ROOTS = path.resolve('node_modules/@types');

let server: TestServer;
/** A folder of a user, with the package installed in it and nothing else. */
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-client-'));
  const packed = await run(process.execPath, ['deploy/pack-client.mjs']);
  await writeFile(path.join(folder, 'package.json'), '{"private":true,"type":"module"}');
  await run('npm', ['install', '--offline', '--ignore-scripts', packed.stdout.trim()], { cwd: folder });
  server = await startServer();
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const typeCheck = (...args: string[]) =>
  run(TSC, ['--noEmit', '--strict', '--skipLibCheck', 'false', '--target', 'es2022', ...args], { cwd: folder }).catch(
    ({ stdout }: { stdout: string }) => expect.fail(stdout),
  );

describe('the package onespace-client', () => {
  it('has the version of the service, its licence, and no dependency', async () => {
    const installed = path.join(folder, 'node_modules', 'onespace-client');
    const manifest = JSON.parse(await readFile(path.join(installed, 'package.json'), 'utf8'));
    const service = JSON.parse(await readFile('package.json', 'utf8'));
    expect(manifest).toMatchObject({ version: service.version, license: service.license, engines: { node: '>=20' } });
    expect(manifest).not.toHaveProperty('dependencies');
    expect(await readFile(path.join(installed, 'LICENSE'), 'utf8')).toBe(await readFile('LICENSE', 'utf8'));
  });

  it('embeds, stores and searches', async () => {
    const script = `
      import { embed, embedTexts, putItems, retrieve, ServiceError, getItem } from 'onespace-client';
      const service = { url: ${JSON.stringify(server.url)} };
      const { embedding } = await embed(service, { text: 'a cat' });
      const many = await embedTexts(service, ['a cat', 'a dog']);
      await putItems(service, [{ id: 'cat', text: 'a cat' }, { id: 'dog', text: 'a dog' }]);
      const [first] = await retrieve(service, { embedding, top_k: 1 });
      const error = await getItem(service, 'nobody').catch((reason) => reason);
      const isServiceError = error instanceof ServiceError;
      console.log(JSON.stringify({ many: many.length, first: first.id, isServiceError, code: error.problem.code }));
    `;
    await writeFile(path.join(folder, 'use.mjs'), script);
    const { stdout } = await run(process.execPath, ['use.mjs'], { cwd: folder });
    expect(JSON.parse(stdout)).toEqual({ many: 2, first: 'cat', isServiceError: true, code: 'not_found' });
  });

  it('has types that the examples of its README agree with', async () => {
    const readme = await readFile('src/client/README.md', 'utf8');
    const examples = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, example]) => example);
    expect(examples.length).toBeGreaterThan(0);
    await writeFile(path.join(folder, 'readme.ts'), examples.join('\n'));
    await typeCheck('--module', 'nodenext', '--types', 'node', '--typeRoots', TYPE_ROOTS, 'readme.ts');
  });

  it('has types that need those of a browser alone, and refuse what the service would', async () => {
    const source = `
      import { embed, formOf, type Hit, retrieve } from 'onespace-client';
      const hits: Hit[] = await retrieve({ url: '' }, formOf([new Blob([]), 'at night'], { top_k: 3 }));
      const length: number = (await embed({ url: '' }, { text: 'a cat' })).embedding.length;
      // @ts-expect-error: there is no such modality
      await retrieve({ url: '' }, { text: 'a cat', modal_type: 'sound' });
      // @ts-expect-error: there is no such field
      await embed({ url: '' }, { txt: 'a cat' });
      export { hits, length };
    `;
    await writeFile(path.join(folder, 'browser.ts'), source);
    await typeCheck(
      '--module',
      'esnext',
      '--moduleResolution',
      'bundler',
      '--lib',
      'es2022,dom',
      '--types',
      '',
      'browser.ts',
    );
  });
});
