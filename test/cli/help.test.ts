import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const cli = (...args: string[]) => promisify(execFile)(process.execPath, ['dist/src/cli/main.js', ...args]);

describe('onespace', () => {
  it('prints the version of the package', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect((await cli('--version')).stdout).toBe(`${version}\n`);
  });

  it('lists its commands', async () => {
    const { stdout } = await cli('--help');
    for (const name of ['serve', 'index', 'search', 'export', 'import', 'reindex', 'models', 'rollout', 'settings'])
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    expect(stdout).toContain('ONESPACE_API_KEY');
  });

  it('describes one command', async () => {
    const { stdout } = await cli('help', 'search');
    expect(stdout).toContain('Usage: onespace search [options] <text>');
    expect((await cli('rollout', '--help')).stdout).toMatch(/^ {2}share \[options\] <percent> /m);
  });

  it('refuses an unknown command, and names one like it', async () => {
    await expect(cli('serch', 'a cat')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("error: unknown command 'serch'\n(Did you mean search?)"),
    });
  });
});
