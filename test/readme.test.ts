import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelCopies } from './model-copies.js';
import { startServer, type TestServer } from './server.js';

const run = promisify(execFile);
const readme = await readFile('README.md', 'utf8');

/** The commands of the README that speak to the service: lines "$ curl ..." of its console blocks. */
const commands = [...readme.matchAll(/^```console\n(.*?)^```/gms)]
  .flatMap(([, block]) => (block as string).replaceAll('\\\n', ' ').split('\n'))
  .filter((line) => /^\$ (curl|npx onespace) /.test(line))
  .map((line) => line.slice(2).replace(/ +#.*$/, ''));

let server: TestServer;
let copies: ModelCopies;
/** The candidate of the rollout. */
let next: string;
/** A home whose Pictures are the photographs of the samples. */
let home: string;

/** Ids of the samples: the walk-through of a rollout begins with nothing else stored. */
let samples: string[];

const idsOf = async () => {
  const { items } = (await (await fetch(`${server.url}/items?limit=1000`)).json()) as { items: { id: string }[] };
  return items.map(({ id }) => id);
};

async function forgetAllBut(kept: readonly string[]): Promise<void> {
  const ids = (await idsOf()).filter((id) => !kept.includes(id));
  await fetch(`${server.url}/items`, {
    method: 'DELETE',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ids }),
  });
}

beforeAll(async () => {
  copies = await ModelCopies.open();
  next = await copies.make({ revision: 'next' });
  server = await startServer();
  home = await mkdtemp(path.join(tmpdir(), 'onespace-home-'));
  await symlink(path.resolve('samples/photos'), path.join(home, 'Pictures'));
  await run(process.execPath, ['dist/src/cli/main.js', '--url', server.url, 'index', 'samples']);
  samples = await idsOf();
});
afterAll(async () => {
  await server.close();
  await copies.close();
  await rm(home, { recursive: true });
});

describe('README', () => {
  it.each(commands)('%s', async (command) => {
    if (command.includes('rollout start')) await forgetAllBut(samples);
    const here = command
      .replace('./onespace-mini-next', next)
      .replaceAll('localhost:8000', server.url.replace('http://', ''))
      .replace(/^npx onespace/, 'node dist/src/cli/main.js');
    const { stdout } = await run('bash', ['-o', 'pipefail', '-c', here], {
      env: { ...process.env, HOME: home, ONESPACE_URL: server.url },
    });
    expect(stdout).not.toContain('urn:onespace:problem');
    expect(stdout).not.toBe('');
  });
});
