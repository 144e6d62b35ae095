import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer } from '../server.js';

const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-export-'));
});
afterAll(() => rm(folder, { recursive: true }));

const cli = (dataDir: string, ...args: string[]) =>
  run(process.execPath, ['dist/src/cli/main.js', ...args], {
    env: { ...process.env, DATA_DIR: path.join(folder, dataDir) },
  });

describe('onespace export and import', () => {
  it('move a store to another folder, exactly', async () => {
    const server = await startServer({ DATA_DIR: path.join(folder, 'one') });
    for (let i = 0; i < 25; i++) await server.json('/items', { id: `item ${i}`, text: `text ${i}`, metadata: { i } });
    const file = path.join(folder, 'export.jsonl');
    await expect(cli('one', 'export', file)).rejects.toThrow(/in use|open|lock/i);
    await server.close();

    expect((await cli('one', 'export', file)).stdout).toBe('25 exported\n');
    const imported = await cli('two', 'import', file);
    expect(imported.stdout).toBe('25 imported\n');
    expect(imported.stderr).toContain('25/25');
    const again = path.join(folder, 'again.jsonl');
    await cli('two', 'export', again);
    expect(await readFile(again, 'utf8')).toBe(await readFile(file, 'utf8'));
  });

  it('keep line and paragraph separators inside a text, which JSON leaves unescaped', async () => {
    const text = 'one\u2028two\u2029three\u0085four\r\nfive';
    const server = await startServer({ DATA_DIR: path.join(folder, 'separators') });
    await server.json('/items', { id: 'a', text, metadata: { text } });
    await server.json('/items', { id: 'b', text: 'another' });
    await server.close();
    const file = path.join(folder, 'separators.jsonl');
    await cli('separators', 'export', file);
    expect(await readFile(file, 'utf8')).toContain('\u2028');

    const imported = await cli('copy', 'import', file);
    expect(imported.stdout).toBe('2 imported\n');
    expect(imported.stderr).toContain('2/2');
    const again = path.join(folder, 'separators-again.jsonl');
    await cli('copy', 'export', again);
    expect(await readFile(again, 'utf8')).toBe(await readFile(file, 'utf8'));
  });

  it('refuse what is not an export, naming the line', async () => {
    await expect(cli('three', 'import', 'package.json')).rejects.toThrow(/Line 1 is not an item/);
  });
});
