import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { clearSpool, receive } from '../../src/media/upload.js';
import { codeOf, problemOf, useFolder } from './support.js';

const PNG = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(5000, 7)]);
const AVI = Buffer.concat([Buffer.from('RIFF\x10\0\0\0AVI LIST', 'latin1'), Buffer.alloc(300_000, 7)]);
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const inPieces = (bytes: Buffer, size: number) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size)),
  );

describe('receive', () => {
  const folder = useFolder();
  const options = (maxBytes = 1e6) => ({ maxBytes, folder: path.join(folder.path, 'spool') });
  const spooled = () => readdir(options().folder).catch(() => []);

  it.each([1, 700, 100_000])('keeps an image in memory, received in pieces of %d bytes', async (size) => {
    const upload = await receive(inPieces(PNG, size), options());
    expect(upload).toMatchObject({ modality: 'image', format: 'png', size: PNG.length, sha256: sha256(PNG) });
    expect(upload.modality === 'image' && PNG.equals(upload.bytes)).toBe(true);
    expect(await spooled()).toEqual([]);
  });

  it('keeps concurrent images apart in reused buffers, whatever sizes were announced', async () => {
    const image = (i: number) => Buffer.concat([PNG, Buffer.alloc(i * 30_000, i)]);
    for (const round of [0, 1]) {
      const sent = Array.from({ length: 9 }, (_, i) => image(round === 0 ? i : 8 - i));
      const uploads = await Promise.all(
        sent.map((bytes, i) =>
          receive(inPieces(bytes, 7000), {
            ...options(),
            ...[{}, { expectedBytes: bytes.length }, { expectedBytes: 1 }][i % 3],
          }),
        ),
      );
      for (const [i, upload] of uploads.entries()) {
        if (upload.modality !== 'image') throw new Error('expected an image');
        expect(sent[i]?.equals(upload.bytes)).toBe(true);
      }
      for (const upload of uploads) {
        await upload.dispose();
        // A buffer returned twice would get two owners.
        await upload.dispose();
      }
    }
  });

  it('keeps a video in a private file until it is disposed of', async () => {
    const upload = await receive(inPieces(AVI, 10_000), options());
    if (upload.modality !== 'video') throw new Error('expected a video');
    expect(upload).toMatchObject({ format: 'avi', size: AVI.length, sha256: sha256(AVI) });
    expect(AVI.equals(await readFile(upload.path))).toBe(true);
    expect((await stat(upload.path)).mode & 0o077).toBe(0);
    await upload.dispose();
    await upload.dispose();
    expect(await spooled()).toEqual([]);
  });

  it('states the limit when a file is larger', async () => {
    for (const bytes of [PNG, AVI]) {
      const problem = await problemOf(receive(inPieces(bytes, 1000), options(4000)));
      expect(problem).toMatchObject({ code: 'too_large', status: 413, extensions: { limit_bytes: 4000 } });
    }
    expect(await spooled()).toEqual([]);
  });

  it('lets a video that is to be stored be larger, and no image', async () => {
    const stored = { ...options(4000), maxStoredBytes: AVI.length };
    const upload = await receive(inPieces(AVI, 10_000), stored);
    expect(upload).toMatchObject({ size: AVI.length, mayBeLong: true });
    await upload.dispose();
    for (const [bytes, limit] of [[PNG, 4000] as const, [Buffer.concat([AVI, PNG]), AVI.length] as const]) {
      const problem = await problemOf(receive(inPieces(bytes, 1000), stored));
      expect(problem).toMatchObject({ code: 'too_large', extensions: { limit_bytes: limit } });
    }
    expect(await spooled()).toEqual([]);
  });

  it('leaves room on the disk: a large video is refused before it fills it', async ({ skip }) => {
    const disk = path.join(folder.path, 'disk');
    await mkdir(disk);
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=200m', 'tmpfs', disk]);
    if (mount.status !== 0) return skip('LEFT OUT: mounting a small disk needs root');
    try {
      const small = { maxBytes: 1e6, maxStoredBytes: 1e9, folder: disk };
      const announced = await problemOf(receive(inPieces(AVI, 1000), { ...small, expectedBytes: 500e6 }));
      expect(announced).toMatchObject({ code: 'disk_full', status: 507 });
      const endless = Readable.from(Array.from({ length: 300 }, (_, i) => (i === 0 ? AVI : Buffer.alloc(1e6))));
      expect(await codeOf(receive(endless, small))).toBe('disk_full');
      expect(await readdir(disk)).toEqual([]);
      const { bavail, bsize } = await statfs(disk);
      expect(bavail * bsize).toBeGreaterThan(150e6);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('accepts a file of exactly the limit', async () => {
    const upload = await receive(inPieces(PNG, 1000), options(PNG.length));
    expect(upload.size).toBe(PNG.length);
  });

  it('detects a file that a multipart parser truncated', async () => {
    const cut = Object.assign(inPieces(PNG, 1000), { truncated: true });
    expect(await codeOf(receive(cut, options()))).toBe('too_large');
  });

  it('refuses empty files and unknown formats', async () => {
    expect(await codeOf(receive(Readable.from([]), options()))).toBe('empty_body');
    const problem = await problemOf(receive(Readable.from([Buffer.from('hello')]), options()));
    expect(problem).toMatchObject({ code: 'unsupported_media', extensions: { received: 'text' } });
  });

  it('drains a refused file, so that the request can be answered', async () => {
    const stream = new PassThrough();
    const refused = codeOf(receive(stream, options()));
    stream.write(Buffer.alloc(2000, 'x'));
    expect(await refused).toBe('unsupported_media');
    expect(stream.destroyed).toBe(false);
    stream.end(Buffer.alloc(500_000));
    await new Promise((resolve) => stream.once('end', resolve));
  });

  it('discards the received bytes when the client disconnects', async () => {
    const client = new AbortController();
    const stream = new PassThrough();
    const received = codeOf(receive(stream, { ...options(), signal: client.signal }));
    stream.write(AVI);
    await expect.poll(spooled).toHaveLength(1);
    client.abort();
    expect(await received).toBe('client_closed');
    expect(await spooled()).toEqual([]);
  });

  it('reports a broken connection as a disconnected client', async () => {
    const stream = new PassThrough();
    const received = codeOf(receive(stream, options()));
    stream.write(AVI);
    stream.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
    expect(await received).toBe('client_closed');
    expect(await spooled()).toEqual([]);
  });

  it('removes the temporary files of a killed process, and nothing else', async () => {
    await writeFile(path.join(folder.path, 'left.upload'), '');
    await writeFile(path.join(folder.path, 'other.txt'), '');
    await clearSpool(folder.path);
    const names = await readdir(folder.path);
    expect(names).toContain('other.txt');
    expect(names).not.toContain('left.upload');
    await clearSpool(path.join(folder.path, 'missing'));
  });
});
