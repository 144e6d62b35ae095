import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Problem } from '../../src/common/errors.js';
import { explainFileError } from '../../src/lib/file-errors.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'onespace-file-errors-'));
});
afterEach(() => rm(dir, { recursive: true }));

const messageOf = (error: unknown, setting?: string) => (explainFileError(error, setting) as Error).message;

describe('explainFileError', () => {
  it('says what to do about a full disk, though a failed write names no file', async () => {
    const full = await open('/dev/full', 'w');
    const error = await full.writeFile('x').catch((thrown: unknown) => thrown);
    await full.close();
    expect(messageOf(error)).toBe('The disk is full. Free space. (ENOSPC: no space left on device, write)');
  });

  it('names what is in the way of a folder, and the setting that says where it is', async () => {
    await writeFile(path.join(dir, 'file'), '');
    const error = await open(path.join(dir, 'file', 'below'), 'w').catch((thrown: unknown) => thrown);
    const message = `${dir}/file is not a folder. Remove or rename it. Or set DATA_DIR to another folder.`;
    expect(messageOf(error, 'DATA_DIR')).toBe(message);
  });

  it.each([
    new Error('anything else'),
    'no error at all',
    new Problem(
      'disk_full',
      'The disk of the index is full.',
      {},
      { cause: new Error('ENOSPC: no space left, write') },
    ),
  ])('leaves %s as it is', (error) => {
    expect(explainFileError(error)).toBe(error);
  });
});
