import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from '../server.js';

const DOG = 'samples/images/dog.jpg';
let server: TestServer;
let folder: string;

beforeAll(async () => {
  server = await startServer();
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-archive-'));
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const run = promisify(execFile);
const index = (target: string): Promise<{ stdout: string; stderr: string; code?: number }> =>
  run(process.execPath, ['dist/src/cli/main.js', 'index', target], {
    env: { ...process.env, ONESPACE_URL: server.url },
  }).catch((error) => error);

const metadataOf = async (id: string) =>
  ((await (await fetch(`${server.url}/items/${encodeURIComponent(id)}`)).json()) as { metadata: object }).metadata;

/** A folder below the temporary one, with a photo in it. */
async function make(name: string): Promise<string> {
  const made = path.join(folder, name);
  await mkdir(made);
  await cp(DOG, path.join(made, 'dog.jpg'));
  return made;
}

describe('onespace index', () => {
  it('takes names that are not UTF-8, and extensions of every kind', async () => {
    const made = await make('names');
    await run('sh', ['-c', `cp ${DOG} "${made}/$(printf 'Gro\\337.jpg')"`]);
    for (const name of ['a.jfif', 'b.JPE', '鱼 & 熊#1?.jpg']) await cp(DOG, path.join(made, name));
    expect(await index(made)).toMatchObject({ stdout: '5 stored, 0 refused\n' });
    expect(await metadataOf('Groß.jpg')).toEqual({ filename: 'Groß.jpg' });
    expect(await metadataOf('鱼 & 熊#1?.jpg')).toEqual({ filename: '鱼 & 熊#1?.jpg' });
  });

  it('goes on after what it cannot read, and says why', async () => {
    const made = await make('bad');
    await symlink(path.join(made, 'gone.jpg'), path.join(made, 'dangling.jpg'));
    await symlink('loop.jpg', path.join(made, 'loop.jpg'));
    await symlink(made, path.join(made, 'circle.jpg'));
    await symlink(path.resolve(DOG), path.join(made, 'link.jpg'));
    await writeFile(path.join(made, 'long.mp4'), '');
    await truncate(path.join(made, 'long.mp4'), 3e9);
    await writeFile(path.join(made, 'empty.png'), '');
    await writeFile(path.join(made, 'page.html'), '<html>');
    await writeFile(path.join(made, 'notes.txt'), 'notes');
    const { stdout, stderr, code } = await index(made);
    expect({ stdout, code }).toEqual({ stdout: '2 stored, 5 refused\n', code: 1 });
    expect(stderr.split('\n').filter((line) => line.startsWith('refused'))).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^refused dangling\.jpg: .*link/),
        expect.stringMatching(/^refused loop\.jpg: .*circle/),
        expect.stringMatching(/^refused circle\.jpg: a link to a folder/),
        expect.stringMatching(/^refused long\.mp4: it has 3000 MB; .* 64 MB/),
        expect.stringMatching(/^refused empty\.png: The file is empty/),
      ]),
    );
    expect(stderr).toContain('passed over files of other kinds: 1 .html, 1 .txt');
  });

  it('takes one file, and captions that begin with a byte order mark', async () => {
    const made = await make('captions');
    await writeFile(path.join(made, 'captions.jsonl'), '\ufeff{"file":"dog.jpg","en":"a dog"}\r\n\r\n');
    expect(await index(made)).toMatchObject({ stdout: '1 stored, 0 refused\n' });
    expect(await metadataOf('dog.jpg')).toEqual({ filename: 'dog.jpg', en: 'a dog' });
    await writeFile(path.join(made, 'captions.jsonl'), '{"file":"dog.jpg"}\nnot JSON\n');
    expect(await index(made)).toMatchObject({ code: 1, stderr: 'Line 2 of captions.jsonl is not a JSON object.\n' });
    expect(await index(path.join(made, 'dog.jpg'))).toMatchObject({ stdout: '1 stored, 0 refused\n' });
  });

  it('says so when there is nothing, or no folder', async () => {
    await mkdir(path.join(folder, 'empty'));
    const nothing = { code: 1, stderr: expect.stringContaining('no images or videos') };
    expect(await index(path.join(folder, 'empty'))).toMatchObject(nothing);
    expect(await index(path.join(folder, 'nowhere'))).toMatchObject({ code: 1, stderr: expect.stringContaining('nowhere') });
  });
});
