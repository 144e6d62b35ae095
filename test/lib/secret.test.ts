import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig, Settings } from '../../src/config.js';
import { startServer } from '../server.js';

const SECRETS = Object.entries(Settings.properties).flatMap(([name, setting]) => ('x-secret' in setting ? [name] : []));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-secret-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string): Promise<string> {
  await writeFile(path.join(folder, name), content);
  return path.join(folder, name);
}

describe('a secret in a file', () => {
  it('is possible for every setting that is one', () => {
    expect(SECRETS).toEqual(['HF_TOKEN', 'GEMINI_API_KEY', 'REPLICA_API_KEY', 'API_KEYS']);
    const suspicious = Object.keys(Settings.properties).filter((name) => /KEY|TOKEN|SECRET|PASSWORD/.test(name));
    expect(suspicious.filter((name) => !SECRETS.includes(name))).toEqual(['MAX_BATCH_TOKENS']);
  });

  it.each(SECRETS)('%s is read without the line ends after it', async (name) => {
    for (const end of ['', '\n', '\r\n', '\n\n']) {
      const secret = await file('secret', `sixteen characters and more${end}`);
      expect(loadConfig({ [`${name}_FILE`]: secret })).toMatchObject({ [name]: 'sixteen characters and more' });
    }
    const secret = await file('secret', 'from a file\n');
    expect(loadConfig({ [name]: '', [`${name}_FILE`]: secret })).toMatchObject({ [name]: 'from a file' });
    expect(loadConfig({ [name]: 'direct', [`${name}_FILE`]: '' })).toMatchObject({ [name]: 'direct' });
  });

  it('may hold keys line by line', async () => {
    const API_KEYS_FILE = await file('keys', 'a-key-that-may-write\r\na-key-that-may-read:read\n\n');
    const server = await startServer({ API_KEYS_FILE });
    for (const [key, status] of [
      ['a-key-that-may-write', 204],
      ['a-key-that-may-read', 403],
      ['a-key-of-somebody-else', 401],
    ]) {
      const headers = { authorization: `Bearer ${key}` };
      await server.app.inject({ method: 'POST', url: '/items', headers, payload: { id: 'a', text: 'a' } });
      expect((await fetch(`${server.url}/items/a`, { method: 'DELETE', headers })).status).toBe(status);
    }
    await server.close();
  });

  it.each(SECRETS)(
    '%s is reported when it cannot be read, is empty, or is set twice, and never shown',
    async (name) => {
      const setting = `${name}_FILE`;
      const missing = path.join(folder, 'missing');
      expect(() => loadConfig({ [setting]: missing })).toThrow(
        new RegExp(`^${setting}=${missing} cannot be read: ENOENT`),
      );
      await mkdir(path.join(folder, name));
      expect(() => loadConfig({ [setting]: path.join(folder, name) })).toThrow(/cannot be read: EISDIR/);
      const empty = await file('empty', '\n');
      expect(() => loadConfig({ [setting]: empty })).toThrow(`${setting}=${empty}: the file is empty.`);
      const good = await file('good', 'hidden-in-the-file');
      const both = () => loadConfig({ [name]: 'hidden-in-the-environment', [setting]: good });
      expect(both).toThrow(`${name} and ${setting} are both set`);
      expect(both).not.toThrow(/hidden/);
    },
  );

  it.skipIf(process.getuid?.() === 0)('that may not be read is reported', async () => {
    const API_KEYS_FILE = await file('forbidden', 'a-key-that-may-write');
    await chmod(API_KEYS_FILE, 0);
    expect(() => loadConfig({ API_KEYS_FILE })).toThrow(/cannot be read: EACCES/);
  });
});
