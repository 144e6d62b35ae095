import { createHash, randomUUID } from 'node:crypto';
import { copyFile, type FileHandle, link, open, opendir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Modality } from '../../common/modality.js';
import { assert } from '../../lib/assert.js';
import { errorCode, linkOrCopy, makeDir, syncDir } from '../../lib/fs.js';
import type { Logger } from '../../lib/log/logger.js';
import { writeProblem } from '../disk-errors.js';
import type { Original, OriginalPart } from '../item.js';
import { filesOf, isFileName } from './source-ref.js';

/** A part of an original, to be kept. */
export type Source = { text: string } | FileSource;
interface FileSource {
  /** SHA-256 of the content, in hex. */
  sha256: string;
  content: Uint8Array | { path: string };
  /** What the content must be read as; without it the content decides. */
  as?: Modality | undefined;
}

/** What was kept for an item that is about to be stored. Exactly one of the two methods is to be called, once. */
export interface KeptOriginal {
  original: Original;
  /** The item was stored: from now on it is the item that keeps the files. */
  commit(): Promise<void>;
  /** The item was not stored: files that no item refers to are deleted. */
  rollBack(): Promise<void>;
}

export interface BlobStoreOptions {
  /** For each file, whether an acknowledged item refers to it. */
  refersTo: (files: string[]) => Promise<boolean[]>;
  logger: Logger;
}

/** Longer texts become files. Shorter ones are in the metadata, which searches read and which should stay small. */
const INLINE_BYTES = 1024;
const SWEEP_FILES = 256;
const TEMPORARY = '.tmp';
const FOLDER = /^[0-9a-f]{2}$/;

/**
 * The files that items were made from, each once, named by the SHA-256 of its content.
 *
 * A file is on the disk before its item is acknowledged, and is deleted when the index reports that the last item
 * that refers to it is deleted. Between `keep` and `commit` or `rollBack` a file is held: it cannot be deleted while
 * an item that needs it is being stored. Files that a crash leaves without an item are deleted after the next start.
 */
export class BlobStore {
  readonly #dir: string;
  readonly #options: BlobStoreOptions;
  /** Files that items being stored will refer to, and by how many of them. */
  readonly #held = new Map<string, number>();
  /** Held files whose references have to be checked before they are no longer held. */
  readonly #unverified = new Set<string>();
  readonly #writing = new Map<string, Promise<void>>();
  readonly #removing = new Map<string, Promise<void>>();
  /** Deletions that wait for the end of a backup. */
  readonly #postponed = new Set<string>();
  #pauses = 0;
  #sweeping: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(dir: string, options: BlobStoreOptions) {
    this.#dir = dir;
    this.#options = options;
  }

  /** Deletes what a crash left, most of it in the background. To be called once, before `keep`. */
  async open(): Promise<void> {
    const names = await readdir(this.#dir).catch(ignoreMissing);
    for (const name of names ?? []) if (name.endsWith(TEMPORARY)) await rm(path.join(this.#dir, name), { force: true });
    if (names === undefined) return;
    // Folders that a process created which was killed before it synced their names.
    await syncDir(this.#dir);
    await syncDir(path.dirname(this.#dir));
    this.#sweeping = this.#sweep().catch((error: unknown) => {
      this.#options.logger.warn({ err: error }, 'index: kept files that no item refers to could not be deleted');
    });
  }

  /**
   * Makes the parts of an item durable.
   * @throws Problem `disk_full`, `store_unavailable`; nothing is kept then
   */
  async keep(parts: readonly Source[]): Promise<KeptOriginal> {
    const sources = parts.map(toFileIfLong);
    const files = sources.flatMap((source) => ('text' in source ? [] : [source]));
    const names = files.map(({ sha256 }) => sha256);
    for (const name of names) this.#held.set(name, (this.#held.get(name) ?? 0) + 1);
    const commit = () => this.#unhold(names);
    const rollBack = () => {
      for (const name of names) this.#unverified.add(name);
      return this.#unhold(names);
    };
    try {
      for (const file of files) await this.#ensure(file);
    } catch (error) {
      await rollBack();
      throw writeProblem(error);
    }
    return { original: sources.map(toPart), commit, rollBack };
  }

  /** Keeps the files of an original that another folder holds, as hard links where the disk allows. */
  copyFrom(original: Original, from: BlobStore): Promise<KeptOriginal> {
    return this.keep(
      original.map((part) =>
        'text' in part ? part : { sha256: part.file, as: part.as, content: { path: from.pathOf(part.file) } },
      ),
    );
  }

  /** Whether every file of an original exists. */
  async has(original: Original): Promise<boolean> {
    for (const file of filesOf(original)) if (!(await exists(this.pathOf(file)))) return false;
    return true;
  }

  /** The path of a kept file. */
  pathOf(file: string): string {
    assert(isFileName(file), 'a kept file of an impossible name');
    return path.join(this.#dir, file.slice(0, 2), file);
  }

  /** Deletes files whose last reference is gone. To be called in the order in which writes are acknowledged. */
  release(files: readonly string[]): void {
    for (const file of files) {
      if (this.#held.has(file)) this.#unverified.add(file);
      else this.#remove(file);
    }
  }

  /** Runs a task during which no kept file is deleted; what became free in the meantime is deleted after it. */
  async whileNoneIsDeleted<T>(task: () => Promise<T>): Promise<T> {
    this.#pauses += 1;
    try {
      await Promise.all(this.#removing.values());
      return await task();
    } finally {
      this.#pauses -= 1;
      if (this.#pauses === 0) await this.#removePostponed();
    }
  }

  async #removePostponed(): Promise<void> {
    const files = [...this.#postponed];
    this.#postponed.clear();
    if (files.length > 0) await this.#removeUnreferenced(files).catch(this.#warn);
  }

  /**
   * Puts every kept file into another folder, as hard links where the disk allows, durably.
   * @returns them, with paths within that folder
   */
  async copyAll(to: string): Promise<{ file: string; bytes: number }[]> {
    const copied: { file: string; bytes: number }[] = [];
    const folders = ((await readdir(this.#dir).catch(ignoreMissing)) ?? []).filter((name) => FOLDER.test(name));
    for (const folder of folders) {
      const target = path.join(to, folder);
      await makeDir(target, 0o700);
      for await (const { name } of await opendir(path.join(this.#dir, folder))) {
        if (!isFileName(name)) continue;
        await linkOrCopy(this.pathOf(name), path.join(target, name));
        copied.push({ file: `${folder}/${name}`, bytes: (await stat(path.join(target, name))).size });
      }
      await syncDir(target);
    }
    if (folders.length > 0) await syncDir(to);
    return copied;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#sweeping;
    await Promise.all(this.#removing.values());
  }

  async #unhold(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const held = (this.#held.get(name) ?? 0) - 1;
      if (held > 0) this.#held.set(name, held);
      else this.#held.delete(name);
    }
    const unverified = [...new Set(names)].filter((name) => this.#unverified.has(name));
    if (unverified.length > 0) await this.#removeUnreferenced(unverified).catch(this.#warn);
  }

  async #removeUnreferenced(files: string[]): Promise<void> {
    const isReferenced = await this.#options.refersTo(files);
    files.forEach((file, i) => {
      // Checked again when it is no longer held.
      if (this.#held.has(file)) return;
      this.#unverified.delete(file);
      if (isReferenced[i] === false) this.#remove(file);
    });
  }

  #remove(file: string): void {
    if (this.#pauses > 0) {
      this.#postponed.add(file);
      return;
    }
    if (this.#removing.has(file)) return;
    const removal = rm(this.pathOf(file), { force: true })
      .catch(this.#warn)
      .finally(() => this.#removing.delete(file));
    this.#removing.set(file, removal);
  }

  readonly #warn = (error: unknown): void => {
    this.#options.logger.warn({ err: error }, 'index: a kept file could not be deleted although no item refers to it');
  };

  /** Writes a file unless it exists; of several callers with the same content, the first one writes. */
  async #ensure(source: FileSource): Promise<void> {
    const { sha256 } = source;
    await this.#removing.get(sha256);
    const writing = this.#writing.get(sha256) ?? this.#write(source).finally(() => this.#writing.delete(sha256));
    this.#writing.set(sha256, writing);
    await writing;
  }

  async #write({ sha256, content }: FileSource): Promise<void> {
    const target = this.pathOf(sha256);
    if (await exists(target)) return;
    await makeDir(path.dirname(target), 0o700);
    const temporary = path.join(this.#dir, `${randomUUID()}${TEMPORARY}`);
    try {
      await writeDurably(temporary, content);
      await rename(temporary, target);
      await syncDir(path.dirname(target));
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async #sweep(): Promise<void> {
    let files: string[] = [];
    for (const folder of (await readdir(this.#dir)).filter((name) => FOLDER.test(name))) {
      for await (const { name } of await opendir(path.join(this.#dir, folder))) {
        if (this.#closed) return;
        if (isFileName(name)) files.push(name);
        if (files.length === SWEEP_FILES) await this.#removeUnreferenced(files.splice(0));
      }
    }
    files = files.filter(() => !this.#closed);
    if (files.length > 0) await this.#removeUnreferenced(files);
  }
}

function toFileIfLong(source: Source): Source {
  if (!('text' in source)) return source;
  const content = Buffer.from(source.text);
  if (content.length <= INLINE_BYTES) return source;
  return { sha256: createHash('sha256').update(content).digest('hex'), content, as: 'text' };
}

const toPart = (source: Source): OriginalPart => {
  if ('text' in source) return { text: source.text };
  return source.as === undefined ? { file: source.sha256 } : { file: source.sha256, as: source.as };
};

/** Makes a hard link where the disk allows: a video received into a temporary file is not copied. */
async function writeDurably(file: string, content: FileSource['content']): Promise<void> {
  if (content instanceof Uint8Array)
    return withFile(await open(file, 'wx', 0o600), (handle) => handle.writeFile(content));
  await link(content.path, file).catch(() => copyFile(content.path, file));
  await withFile(await open(file, 'r'), async () => {});
}

/** Writes, syncs and closes. */
async function withFile(handle: FileHandle, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const exists = async (file: string): Promise<boolean> => (await stat(file).catch(ignoreMissing)) !== undefined;

function ignoreMissing(error: unknown): undefined {
  if (errorCode(error) === 'ENOENT') return undefined;
  throw error;
}
