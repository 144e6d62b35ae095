import { randomUUID } from 'node:crypto';
import { readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { makeDir } from '../../lib/fs.js';

const SUFFIX = '.webp';
const TEMPORARY = '.tmp';
/** After a removal of old files this share of the limit is left, so that not each new file removes one. */
const KEPT_SHARE = 0.9;
/** A file's time is when it was last asked for, to the day: writing it each time would be a write for each read. */
const TOUCH_MS = 24 * 3600 * 1000;

interface Entry {
  file: string;
  bytes: number;
  usedMs: number;
}

/** A bounded folder of small pictures, which can all be made again: those that nobody asked for longest are removed. */
export class ThumbnailFolder {
  private bytes: Promise<number> | undefined;

  constructor(
    private readonly folder: string,
    private readonly maxBytes: number,
  ) {}

  /** The place of a picture, where it is there. */
  async find(name: string): Promise<string | undefined> {
    const file = this.placeOf(name);
    const info = await stat(file).catch(() => undefined);
    if (info === undefined) return undefined;
    const now = Date.now();
    if (now - info.mtimeMs > TOUCH_MS) await utimes(file, now / 1000, now / 1000).catch(() => {});
    return file;
  }

  /** @returns its place @throws the error of the disk */
  async put(name: string, content: Uint8Array): Promise<string> {
    const file = this.placeOf(name);
    await makeDir(path.dirname(file));
    const temporary = path.join(path.dirname(file), randomUUID() + TEMPORARY);
    try {
      await writeFile(temporary, content);
      await rename(temporary, file);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    const known = this.bytes;
    this.bytes = known === undefined ? this.measure() : Promise.resolve((await known) + content.length);
    if ((await this.bytes) > this.maxBytes) {
      this.bytes = this.shrink(file);
      await this.bytes;
    }
    return file;
  }

  private placeOf(name: string): string {
    return path.join(this.folder, name.slice(0, 2), name + SUFFIX);
  }

  private async measure(): Promise<number> {
    return sum(await this.entries());
  }

  /** Removes the oldest files. @returns the bytes that are left */
  private async shrink(kept: string): Promise<number> {
    const entries = (await this.entries()).sort((a, b) => a.usedMs - b.usedMs);
    let bytes = sum(entries);
    for (const entry of entries) {
      if (bytes <= KEPT_SHARE * this.maxBytes) break;
      if (entry.file === kept) continue;
      await rm(entry.file, { force: true });
      bytes -= entry.bytes;
    }
    return bytes;
  }

  private async entries(): Promise<Entry[]> {
    const names = await readdir(this.folder, { recursive: true }).catch(() => []);
    const entries: Entry[] = [];
    for (const name of names) {
      const file = path.join(this.folder, name);
      const info = await stat(file).catch(() => undefined);
      if (info?.isFile()) entries.push({ file, bytes: info.size, usedMs: info.mtimeMs });
    }
    return entries;
  }
}

const sum = (entries: readonly Entry[]): number => entries.reduce((bytes, entry) => bytes + entry.bytes, 0);
