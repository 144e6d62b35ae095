import { createHash, randomUUID } from 'node:crypto';
import { copyFile, type FileHandle, link, mkdir, open, opendir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { assert } from '../../lib/assert.js';
import { errorCode, syncDir } from '../../lib/fs.js';
import type { Logger } from '../../lib/logger.js';
import { writeProblem } from '../disk-errors.js';
import type { Original, OriginalPart } from '../item.js';
import { filesOf, isFileName } from './source-ref.js';

/** A part to be kept. */
export type Source = { text: string } | FileSource;
interface FileSource {
  /** Of the content, in hex. */
  sha256: string;
  content: Uint8Array | { path: string };
  as?: 'text' | 'image' | 'video' | undefined;
}

/** What was kept for an item that is about to be stored. */
export interface Kept {
  original: Original;
  /** To be called once, when it is known whether the item was stored: files that nothing refers to go. */
  settle(outcome: { stored: boolean }): Promise<void>;
}

export interface OriginalsOptions {
  /** Of each file, whether an acknowledged item refers to it. */
  refersTo: (files: string[]) => Promise<boolean[]>;
  logger: Logger;
}

/** Longer texts become files: metadata, in which shorter ones stand, is for what a search reads. */
const INLINE_BYTES = 1024;
const SWEEP_FILES = 256;
const BESIDE = '.tmp';
const FOLDER = /^[0-9a-f]{2}$/;

/**
 * The files that items were made from, each once, named by the SHA-256 of its content.
 *
 * A file is on the disk before its item is acknowledged, and goes when the index says that the last item
 * which refers to it has gone. In between it is held, so that it cannot go while an item that needs it is
 * on its way. What a crash leaves behind without an item is swept away after the next start.
 */
export class Originals {
  readonly #dir: string;
  readonly #options: OriginalsOptions;
  /** Files that items on their way will refer to, and how many. */
  readonly #held = new Map<string, number>();
  /** Held files that may have lost their last item meanwhile. */
  readonly #doubtful = new Set<string>();
  readonly #placing = new Map<string, Promise<void>>();
  readonly #removing = new Map<string, Promise<void>>();
  #sweeping: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(dir: string, options: OriginalsOptions) {
    this.#dir = dir;
    this.#options = options;
  }

  /** Clears away what a crash left, the larger part of it in the background. Nothing may be kept before. */
  async open(): Promise<void> {
    const names = await readdir(this.#dir).catch(ignoreMissing);
    for (const name of names ?? []) if (name.endsWith(BESIDE)) await rm(path.join(this.#dir, name), { force: true });
    if (names === undefined) return;
    this.#sweeping = this.#sweep().catch((error: unknown) => {
      this.#options.logger.warn({ err: error }, 'index: kept files that no item refers to could not be cleared away');
    });
  }

  /**
   * Makes the parts of an item durable.
   * @throws Problem `disk_full`, `store_unavailable`; then nothing was kept
   */
  async keep(parts: readonly Source[]): Promise<Kept> {
    const sources = parts.map(toFileIfLong);
    const files = sources.flatMap((source) => ('text' in source ? [] : [source]));
    const names = files.map(({ sha256 }) => sha256);
    for (const name of names) this.#held.set(name, (this.#held.get(name) ?? 0) + 1);
    const settle = ({ stored }: { stored: boolean }) => this.#letGo(names, stored);
    try {
      for (const file of files) await this.#place(file);
    } catch (error) {
      await settle({ stored: false });
      throw writeProblem(error);
    }
    return { original: sources.map(toPart), settle };
  }

  /** Takes over what another folder holds of an original, by links where the disk allows. */
  adopt(original: Original, from: Originals): Promise<Kept> {
    return this.keep(
      original.map((part) =>
        'text' in part ? part : { sha256: part.file, as: part.as, content: { path: from.pathOf(part.file) } },
      ),
    );
  }

  /** Whether every file of an original is there. */
  async has(original: Original): Promise<boolean> {
    for (const file of filesOf(original)) if (!(await exists(this.pathOf(file)))) return false;
    return true;
  }

  pathOf(file: string): string {
    assert(isFileName(file), 'a kept file of an impossible name');
    return path.join(this.#dir, file.slice(0, 2), file);
  }

  /** To be told of files that no acknowledged item refers to any more, in the order in which writes are answered. */
  release(files: readonly string[]): void {
    for (const file of files) {
      if (this.#held.has(file)) this.#doubtful.add(file);
      else this.#remove(file);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#sweeping;
    await Promise.all(this.#removing.values());
  }

  async #letGo(names: readonly string[], stored: boolean): Promise<void> {
    for (const name of names) {
      const held = (this.#held.get(name) ?? 0) - 1;
      if (held > 0) this.#held.set(name, held);
      else this.#held.delete(name);
      if (!stored) this.#doubtful.add(name);
    }
    const doubtful = [...new Set(names)].filter((name) => this.#doubtful.has(name));
    if (doubtful.length > 0) await this.#removeUnreferred(doubtful).catch(this.#warn);
  }

  async #removeUnreferred(files: string[]): Promise<void> {
    const isReferred = await this.#options.refersTo(files);
    files.forEach((file, i) => {
      // Whoever holds it now asks again.
      if (this.#held.has(file)) return;
      this.#doubtful.delete(file);
      if (isReferred[i] === false) this.#remove(file);
    });
  }

  #remove(file: string): void {
    if (this.#removing.has(file)) return;
    const removal = rm(this.pathOf(file), { force: true })
      .catch(this.#warn)
      .finally(() => this.#removing.delete(file));
    this.#removing.set(file, removal);
  }

  readonly #warn = (error: unknown): void => {
    this.#options.logger.warn({ err: error }, 'index: a kept file stays although no item refers to it');
  };

  /** Puts a file in its place unless it is there; of several that bring the same one, the first does. */
  async #place(source: FileSource): Promise<void> {
    const { sha256 } = source;
    await this.#removing.get(sha256);
    const placing = this.#placing.get(sha256) ?? this.#write(source).finally(() => this.#placing.delete(sha256));
    this.#placing.set(sha256, placing);
    await placing;
  }

  async #write({ sha256, content }: FileSource): Promise<void> {
    const place = this.pathOf(sha256);
    if (await exists(place)) return;
    await this.#makeFolder(path.dirname(place));
    const beside = path.join(this.#dir, `${randomUUID()}${BESIDE}`);
    try {
      await writeDurably(beside, content);
      await rename(beside, place);
      await syncDir(path.dirname(place));
    } finally {
      await rm(beside, { force: true });
    }
  }

  async #makeFolder(dir: string): Promise<void> {
    const created = await mkdir(dir, { recursive: true, mode: 0o700 });
    if (created === undefined) return;
    for (let at = dir; at.length >= created.length; at = path.dirname(at)) await syncDir(path.dirname(at));
  }

  async #sweep(): Promise<void> {
    let files: string[] = [];
    for (const folder of (await readdir(this.#dir)).filter((name) => FOLDER.test(name))) {
      for await (const { name } of await opendir(path.join(this.#dir, folder))) {
        if (this.#closed) return;
        if (isFileName(name)) files.push(name);
        if (files.length === SWEEP_FILES) await this.#removeUnreferred(files.splice(0));
      }
    }
    files = files.filter(() => !this.#closed);
    if (files.length > 0) await this.#removeUnreferred(files);
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

/** A link where that is possible: a clip that was received into a file is not copied. */
async function writeDurably(file: string, content: FileSource['content']): Promise<void> {
  if (content instanceof Uint8Array)
    return withFile(await open(file, 'wx', 0o600), (handle) => handle.writeFile(content));
  await link(content.path, file).catch(() => copyFile(content.path, file));
  await withFile(await open(file, 'r'), async () => {});
}

/** Writes, and waits for the disk. */
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
