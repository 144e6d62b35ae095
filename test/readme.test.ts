import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from './server.js';

const run = promisify(execFile);
const readme = await readFile('README.md', 'utf8');

/** The commands of the README that speak to the service: lines "$ curl ..." of its console blocks. */
const commands = [...readme.matchAll(/^```console\n(.*?)^```/gms)]
  .flatMap(([, block]) => (block as string).replaceAll('\\\n', ' ').split('\n'))
  .filter((line) => /^\$ (curl|npx onespace) /.test(line))
  .map((line) => line.slice(2).replace(/ +#.*$/, ''));

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
  await run(process.execPath, ['dist/src/cli.js', '--url', server.url, 'index', 'samples']);
});
afterAll(() => server.close());

describe('README', () => {
  it.each(commands)('%s', async (command) => {
    const here = command
      .replaceAll('localhost:8000', server.url.replace('http://', ''))
      .replace(/^npx onespace/, 'node dist/src/cli.js');
    const { stdout } = await run('bash', ['-o', 'pipefail', '-c', here], {
      env: { ...process.env, ONESPACE_URL: server.url },
    });
    expect(stdout).not.toContain('urn:onespace:problem');
    expect(stdout).not.toBe('');
  });
});
