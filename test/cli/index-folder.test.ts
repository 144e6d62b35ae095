import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeVideo, source } from '../media/support.js';
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
const index = (target: string, ...options: string[]): Promise<{ stdout: string; stderr: string; code?: number }> =>
  run(process.execPath, ['dist/src/cli/main.js', 'index', target, ...options], {
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
    expect(await metadataOf('Groß.jpg')).toMatchObject({ filename: 'Groß.jpg' });
    expect(await metadataOf('鱼 & 熊#1?.jpg')).toMatchObject({ filename: '鱼 & 熊#1?.jpg' });
  });

  it('goes on after what it cannot read, and says why', async () => {
    const made = await make('bad');
    await symlink(path.join(made, 'gone.jpg'), path.join(made, 'dangling.jpg'));
    await symlink('loop.jpg', path.join(made, 'loop.jpg'));
    await symlink(made, path.join(made, 'circle.jpg'));
    await symlink(path.resolve(DOG), path.join(made, 'link.jpg'));
    await writeFile(path.join(made, 'long.mp4'), '');
    await truncate(path.join(made, 'long.mp4'), 30e9);
    await writeFile(path.join(made, 'large.png'), '');
    await truncate(path.join(made, 'large.png'), 3e9);
    await writeFile(path.join(made, 'empty.png'), '');
    await writeFile(path.join(made, 'page.html'), '<html>');
    await writeFile(path.join(made, 'notes.txt'), 'notes');
    const { stdout, stderr, code } = await index(made);
    expect({ stdout, code }).toEqual({ stdout: '2 stored, 6 refused\n', code: 1 });
    expect(stderr.split('\n').filter((line) => line.startsWith('refused'))).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^refused dangling\.jpg: .*link/),
        expect.stringMatching(/^refused loop\.jpg: .*circle/),
        expect.stringMatching(/^refused circle\.jpg: a link to a folder/),
        expect.stringMatching(/^refused long\.mp4: it has 30000 MB; .* 25000 MB \(MAX_STORED_MB\)/),
        expect.stringMatching(/^refused large\.png: it has 3000 MB; .* 64 MB \(MAX_UPLOAD_MB\)/),
        expect.stringMatching(/^refused empty\.png: The file is empty/),
      ]),
    );
    expect(stderr).toContain('passed over files of other kinds: 1 .html, 1 .txt');
  });

  it('sends videos that are larger than anything else may be', async () => {
    const made = await make('films');
    const raw = ['-c:v', 'rawvideo', '-pix_fmt', 'yuv420p'];
    const film = await makeVideo(made, 'film.avi', ...source('testsrc', '640x480', 8, 25), ...raw);
    expect(film.length).toBeGreaterThan(64e6);
    expect(await index(made)).toMatchObject({ stdout: '2 stored, 0 refused\n' });
    expect(await metadataOf('film.avi')).toMatchObject({ duration: 8, width: 640 });
  });

  it('takes one file, and captions that begin with a byte order mark', async () => {
    const made = await make('captions');
    await writeFile(path.join(made, 'captions.jsonl'), '\ufeff{"file":"dog.jpg","en":"a dog"}\r\n\r\n');
    expect(await index(made)).toMatchObject({ stdout: '1 stored, 0 refused\n' });
    expect(await metadataOf('dog.jpg')).toMatchObject({ filename: 'dog.jpg', en: 'a dog' });
    await writeFile(path.join(made, 'captions.jsonl'), '{"file":"dog.jpg"}\nnot JSON\n');
    expect(await index(made)).toMatchObject({ code: 1, stderr: 'Line 2 of captions.jsonl is not a JSON object.\n' });
    expect(await index(path.join(made, 'dog.jpg'))).toMatchObject({ stdout: '0 stored, 1 unchanged, 0 refused\n' });
    await cp('samples/images/cat.jpg', path.join(made, 'dog.jpg'));
    expect(await index(path.join(made, 'dog.jpg'))).toMatchObject({ stdout: '1 stored, 0 refused\n' });
  });

  it('passes over subfolders with .nomedia, unless one is named itself', async () => {
    const made = await make('marked');
    await mkdir(path.join(made, 'stickers/more'), { recursive: true });
    for (const name of ['stickers/a.jpg', 'stickers/more/b.jpg']) await cp(DOG, path.join(made, name));
    await writeFile(path.join(made, 'stickers/.nomedia'), '');
    expect(await index(made, '--dry-run')).toMatchObject({ stdout: 'would be: 1 stored, 0 refused\n' });
    expect(await index(path.join(made, 'stickers'))).toMatchObject({ stdout: '2 stored, 0 refused\n' });
  });

  it('says so when there is nothing, or no folder', async () => {
    await mkdir(path.join(folder, 'empty'));
    const nothing = { code: 1, stderr: expect.stringContaining('no images or videos') };
    expect(await index(path.join(folder, 'empty'))).toMatchObject(nothing);
    expect(await index(path.join(folder, 'nowhere'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nowhere'),
    });
  });

  it('sends only what has changed, and says what it would do', async () => {
    const made = await make('again');
    for (const name of ['cat', 'castle']) await cp(`samples/images/${name}.jpg`, path.join(made, `${name}.jpg`));
    expect(await index(made, '--dry-run')).toMatchObject({ stdout: 'would be: 3 stored, 0 refused\n' });
    expect(await index(made)).toMatchObject({ stdout: '3 stored, 0 refused\n' });
    expect(await index(made)).toMatchObject({ stdout: '0 stored, 3 unchanged, 0 refused\n' });
    await cp('samples/images/castle.jpg', path.join(made, 'cat.jpg'));
    await writeFile(path.join(made, 'captions.jsonl'), '{"file":"dog.jpg","en":"a dog"}');
    const { stdout } = await index(made, '--json');
    expect(JSON.parse(stdout)).toEqual({
      stored: 2,
      unchanged: 1,
      updated: 0,
      moved: 0,
      removed: 0,
      refused: [],
      passed_over: {},
    });
    expect(await metadataOf('dog.jpg')).toMatchObject({ en: 'a dog' });
    expect(await index(made, '--prune')).toMatchObject({ code: 1, stderr: expect.stringContaining('MEDIA_ROOTS') });
    expect(await index(path.join(folder, 'nowhere'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('There is no folder'),
    });
  });
});

describe('onespace index of a folder that the service sees', () => {
  let seeing: TestServer;
  let root: string;
  const indexThere = (target: string, ...options: string[]) =>
    run(process.execPath, ['dist/src/cli/main.js', ...options, ...(target === '' ? [] : [target])], {
      env: { ...process.env, ONESPACE_URL: seeing.url },
    }).catch((error) => error);

  beforeAll(async () => {
    root = await make('root');
    await run('sh', ['-c', `cp samples/images/cat.jpg "${root}/$(printf 'Gro\\337.jpg')"`]);
    await run('sh', ['-c', `cp samples/clips/rocket.mp4 "${root}/$(printf 'Fl\\374gel.mp4')"`]);
    await writeFile(path.join(root, 'broken.jpg'), 'no photo');
    seeing = await startServer({ MEDIA_ROOTS: `photos=${root}` });
  });
  afterAll(() => seeing.close());

  it('has it read by the service: by its place here, or by the name of its root', async () => {
    expect(await indexThere(root, 'index', '--dry-run')).toMatchObject({ stdout: 'would be: 4 stored, 0 refused\n' });
    const first = await indexThere(root, 'index');
    expect(first).toMatchObject({ stdout: '3 stored, 1 refused\n', code: 1 });
    expect(first.stderr).toContain('refused photos/broken.jpg: The file looks like text');
    await rm(path.join(root, 'broken.jpg'));
    await rm(path.join(root, 'dog.jpg'));
    expect(await indexThere('photos', 'index', '--prune')).toMatchObject({
      stdout: '0 stored, 2 unchanged, 1 removed, 0 refused\n',
    });
    const { items } = await (await fetch(`${seeing.url}/items`)).json();
    expect(items.map(({ id }: { id: string }) => id)).toEqual(['photos/Flügel.mp4', 'photos/Groß.jpg']);
  });

  it('does not wait with --detach, and jobs lists what is done', async () => {
    const id = (await indexThere('photos', 'index', '--detach')).stdout.trim();
    const done = async () => (await indexThere('', 'jobs')).stdout.split('\n')[0];
    await expect.poll(done, { timeout: 20_000 }).toMatch(`${id}  done`);
    expect((await indexThere(id, 'jobs', 'refused')).stdout).toBe('');
    expect(await indexThere(id, 'jobs', 'pause')).toMatchObject({ code: 1, stderr: expect.stringContaining('done') });
  });

  it('watches folders of this machine alone', async () => {
    const problem = { code: 1, stderr: expect.stringContaining('--watch needs a folder of this machine') };
    for (const other of ['photos', path.join(root, 'nowhere')])
      expect(await indexThere(other, 'index', '--watch')).toMatchObject(problem);
  });

  it('goes on with --watch: what is added is found', async () => {
    const child = spawn(process.execPath, ['dist/src/cli/main.js', 'index', '--watch', root], {
      env: { ...process.env, ONESPACE_URL: seeing.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    await expect.poll(() => output, { timeout: 20_000 }).toContain('watching');
    await mkdir(path.join(root, 'new'));
    await cp(DOG, path.join(root, 'new/added.jpg'));
    const status = () => fetch(`${seeing.url}/items/photos%2Fnew%2Fadded.jpg`).then((reply) => reply.status);
    await expect.poll(status, { timeout: 20_000 }).toBe(200);
    child.kill('SIGINT');
    await once(child, 'exit');
  });
});
