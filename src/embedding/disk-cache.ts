import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { MODALITY_CODES, modalityOfCode } from '../common/modality.js';
import { errorCode } from '../lib/fs.js';
import type { Logger } from '../lib/log/logger.js';
import type { Embedding } from './embedding.js';

/**
 * The first bytes of every file. Raise the number when the layout of a record changes, or when the same model gives the
 * same input another vector (another way to decode or resize): files of other versions are thrown away.
 */
export const FILE_HEADER = Buffer.from('onespace cache 1');
/** No record is longer. */
export const MAX_RECORD_BYTES = 256 * 1024;
export const fileName = (number: number): string => `${String(number).padStart(9, '0')}.vectors`;
/** The number of a file of the cache; undefined for any other name. */
export const fileNumber = (name: string): number | undefined =>
  Number(/^(\d{9})\.vectors$/.exec(name)?.[1]) || undefined;

/** One file of the cache: the header, then whole records. */
export interface CacheFile {
  number: number;
  file: string;
  handle: FileHandle;
  /** Whether records may be appended. */
  isWritable: boolean;
  /** Up to the end of the last whole record. */
  bytes: number;
  /** Of the longest record: one read of this length gets any. */
  longest: number;
  /** Where the record of a key begins, by the fingerprint of the key; of two keys with the same one, the later. */
  offsets: Map<number, number>;
}

/** CRC-32 as a signed number: small integers take no memory of their own in a Map. */
export const fingerprintOf = (key: string | Uint8Array): number => crc32(key) | 0;

/** CRC-32 (u32) of all that follows, length of the record (u32), of the key (u16), modality, truncated, tokens (u32). */
const HEAD_BYTES = 16;

function encodeRecord(key: string, { vector, modality, tokens, truncated }: Embedding): Buffer {
  const keyBytes = Buffer.from(key);
  const record = Buffer.alloc(HEAD_BYTES + keyBytes.length + vector.byteLength);
  record.writeUInt32LE(record.length, 4);
  record.writeUInt16LE(keyBytes.length, 8);
  record.set([MODALITY_CODES[modality], truncated ? 1 : 0], 10);
  record.writeUInt32LE(tokens, 12);
  record.set(keyBytes, HEAD_BYTES);
  record.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), HEAD_BYTES + keyBytes.length);
  record.writeUInt32LE(crc32(record.subarray(4)));
  return record;
}

/** The record with which `bytes` begin: its length and its key; undefined where they begin with no whole record. */
export function recordAt(bytes: Buffer): { length: number; key: Buffer } | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const length = bytes.readUInt32LE(4);
  const keyEnd = HEAD_BYTES + bytes.readUInt16LE(8);
  if (length > bytes.length || length < keyEnd || (length - keyEnd) % 4 !== 0) return undefined;
  if (crc32(bytes.subarray(4, length)) !== bytes.readUInt32LE(0)) return undefined;
  return { length, key: bytes.subarray(HEAD_BYTES, keyEnd) };
}

/** The embedding of a whole record; undefined for a modality that this version does not know. */
function embeddingOf(bytes: Buffer, { length, key }: { length: number; key: Buffer }): Embedding | undefined {
  const modality = modalityOfCode(bytes[10] as number);
  if (modality === undefined) return undefined;
  // A copy: a Float32Array must start at a multiple of four.
  const numbers = Uint8Array.prototype.slice.call(bytes, HEAD_BYTES + key.length, length);
  return {
    vector: new Float32Array(numbers.buffer),
    modality,
    tokens: bytes.readUInt32LE(12),
    truncated: bytes[11] === 1,
  };
}

export interface DiskCacheOptions {
  folder: string;
  /** Of all files together. */
  maxBytes: number;
  logger: Logger;
  /** How long nothing is written after an error. */
  retryMs?: number;
}

/** More files let less be forgotten at a time, and take more lookups. */
const FILES = 8;
/** Encoded and written at a time: about a millisecond. */
const BATCH_BYTES = MAX_RECORD_BYTES;
/** Embeddings that wait for a slow disk; further ones are not kept. */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;
const RETRY_MS = 60_000;

/**
 * The part of the embedding cache that survives a restart, in files to which records are appended. When they hold
 * `maxBytes`, the oldest file is deleted; a record that is read from the older half is written again: nearly LRU.
 *
 * It may fail, and nothing else does: `get` finds nothing then, and `set` does nothing. A record counts only when its
 * checksum and its key are right, so no damage gives a wrong vector, and no write waits for the disk.
 */
export class DiskCache {
  private readonly fileBytes: number;
  /** Oldest first. */
  private readonly files: CacheFile[] = [];
  private readonly queue = new Map<string, Embedding>();
  private queuedBytes = 0;
  private loaded: Promise<void> | undefined;
  private draining: Promise<void> | undefined;
  private nextNumber = 1;
  private pausedUntil = 0;
  private isFailing = false;
  private isClosed = false;

  constructor(readonly options: DiskCacheOptions) {
    this.fileBytes = Math.floor(options.maxBytes / FILES);
  }

  /** Size of the files. */
  get bytes(): number {
    return this.files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Takes the files of an earlier process, newest first, in the background. Until it is called, nothing is kept. */
  load(files: AsyncIterable<CacheFile>): void {
    this.loaded = this.take(files);
  }

  /** @returns undefined where there is certainly no record of the key; never rejects */
  get(key: string): Promise<Embedding | undefined> | undefined {
    const queued = this.queue.get(key);
    if (queued !== undefined) return Promise.resolve(queued);
    const fingerprint = fingerprintOf(key);
    for (let i = this.files.length - 1; i >= 0; i--) {
      const file = this.files[i] as CacheFile;
      const offset = file.offsets.get(fingerprint);
      if (offset !== undefined) return this.read(file, offset, key);
    }
    return undefined;
  }

  /** Written in the background; dropped while the disk does not take it. */
  set(key: string, embedding: Embedding): void {
    const bytes = HEAD_BYTES + Buffer.byteLength(key) + embedding.vector.byteLength;
    const fits = bytes <= Math.min(MAX_RECORD_BYTES, this.fileBytes - FILE_HEADER.length);
    const isOpen = this.loaded !== undefined && !this.isClosed && performance.now() >= this.pausedUntil;
    if (!isOpen || !fits || this.queue.has(key) || this.queuedBytes + bytes > MAX_QUEUED_BYTES) return;
    this.queue.set(key, embedding);
    this.queuedBytes += bytes;
    this.draining ??= this.drain();
  }

  /** Resolves when everything set before is written or dropped. */
  async written(): Promise<void> {
    await this.loaded;
    await this.draining;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.written();
    await Promise.all(this.files.map(({ handle }) => handle.close().catch(() => {})));
  }

  private async take(files: AsyncIterable<CacheFile>): Promise<void> {
    try {
      for await (const file of files) {
        this.nextNumber = Math.max(this.nextNumber, file.number + 1);
        this.files.unshift(file);
        // On a disk that takes no writes the file stays, and is of use.
        if (this.bytes > this.options.maxBytes) await this.remove(file).catch(() => {});
        if (this.isClosed) break;
      }
    } catch (error) {
      this.warn(error, 'the cache on disk cannot be read; it starts empty');
    }
  }

  private async read(file: CacheFile, offset: number, key: string): Promise<Embedding | undefined> {
    try {
      const bytes = Buffer.alloc(Math.min(file.longest, file.bytes - offset));
      const { bytesRead } = await file.handle.read(bytes, 0, bytes.length, offset);
      const record = recordAt(bytes.subarray(0, bytesRead));
      if (record === undefined) throw new Error('a record that was whole is damaged');
      // Another key with the same fingerprint.
      if (record.key.toString() !== key) return undefined;
      const embedding = embeddingOf(bytes, record);
      if (embedding !== undefined && this.isOld(file)) this.set(key, embedding);
      return embedding;
    } catch (error) {
      // A file that was deleted meanwhile is no longer among them.
      if (!this.files.includes(file) || this.isClosed) return undefined;
      this.warn(error, `a file of the cache on disk is thrown away: ${file.file}`);
      await this.remove(file).catch(() => {});
      return undefined;
    }
  }

  private isOld(file: CacheFile): boolean {
    return this.files.indexOf(file) < Math.floor(this.files.length / 2);
  }

  private async drain(): Promise<void> {
    await this.loaded;
    try {
      while (this.queue.size > 0) await this.writeBatch();
      if (this.isFailing) this.options.logger.info({}, 'the cache on disk takes writes again');
      this.isFailing = false;
    } catch (error) {
      await this.pause(error);
    } finally {
      this.draining = undefined;
    }
  }

  private async writeBatch(): Promise<void> {
    const keys: string[] = [];
    const records: Buffer[] = [];
    const limit = Math.min(BATCH_BYTES, this.fileBytes - FILE_HEADER.length);
    let bytes = 0;
    for (const [key, embedding] of this.queue) {
      const record = encodeRecord(key, embedding);
      if (bytes + record.length > limit) break;
      keys.push(key);
      records.push(record);
      bytes += record.length;
    }
    const file = await this.fileFor(bytes);
    await write(file.handle, Buffer.concat(records), file.bytes);
    keys.forEach((key, i) => {
      const { length } = records[i] as Buffer;
      file.offsets.set(fingerprintOf(key), file.bytes);
      file.longest = Math.max(file.longest, length);
      file.bytes += length;
      this.queuedBytes -= length;
      this.queue.delete(key);
    });
  }

  /** The newest file, if it has room; else a new one, in the place of the oldest. */
  private async fileFor(bytes: number): Promise<CacheFile> {
    const newest = this.files.at(-1);
    if (newest?.isWritable && newest.bytes + bytes <= this.fileBytes) return newest;
    for (let oldest = this.files[0]; oldest !== undefined; oldest = this.files[0]) {
      if (this.bytes + this.fileBytes <= this.options.maxBytes) break;
      await this.remove(oldest);
    }
    return this.create();
  }

  private async create(): Promise<CacheFile> {
    await mkdir(this.options.folder, { recursive: true, mode: 0o700 });
    const number = this.nextNumber++;
    const file = path.join(this.options.folder, fileName(number));
    const handle = await open(file, 'wx+', 0o600);
    try {
      await write(handle, FILE_HEADER, 0);
    } catch (error) {
      await handle.close();
      await rm(file, { force: true });
      throw error;
    }
    const bytes = FILE_HEADER.length;
    const created = { number, file, handle, isWritable: true, bytes, longest: 0, offsets: new Map() };
    this.files.push(created);
    return created;
  }

  private async remove(file: CacheFile): Promise<void> {
    await rm(file.file, { force: true });
    const index = this.files.indexOf(file);
    if (index === -1) return;
    this.files.splice(index, 1);
    // Waits for the reads under way.
    await file.handle.close();
  }

  /** Drops what waits, and writes nothing for a while. */
  private async pause(error: unknown): Promise<void> {
    const { retryMs = RETRY_MS } = this.options;
    this.pausedUntil = performance.now() + retryMs;
    this.queue.clear();
    this.queuedBytes = 0;
    if (!this.isFailing) this.warn(error, `the cache on disk takes no writes; tried again every ${retryMs / 1000} s`);
    this.isFailing = true;
    // A part of a batch: it is not counted, and it may hold the last room of a full disk.
    const newest = this.files.at(-1);
    await newest?.handle.truncate(newest.bytes).catch(() => {});
  }

  private warn(error: unknown, message: string): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.options.logger.warn({ folder: this.options.folder, reason, code: errorCode(error) }, message);
  }
}

/** Writing less than all is what a disk does that becomes full: the next write would fail. */
async function write(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  const { bytesWritten } = await handle.write(bytes, 0, bytes.length, position);
  if (bytesWritten < bytes.length) throw new Error('no space left');
}
