import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { clientClosed, Problem } from '../common/errors.js';
import { BufferPool } from '../lib/buffer-pool.js';
import { type Detected, describeRefused, detect, HEAD_BYTES } from './detect-format.js';
import { acceptedFormats, type ImageFormat, type VideoFormat } from './formats.js';
import { isRawTiff } from './image/raw/raw-preview.js';

interface Received {
  /** Bytes received. */
  size: number;
  /** Of the content, in hex: the key of caches. */
  sha256: string;
  /** Gives back what the upload holds (memory, temporary file); may be called again. */
  dispose(): Promise<void>;
}

/** An image, in memory: sharp reads it from there. */
export interface ImageUpload extends Received {
  modality: 'image';
  format: ImageFormat;
  /** Not to be read after `dispose`: the memory then holds another file. */
  bytes: Uint8Array;
}

/** A video, in a temporary file or where it lies: ffmpeg must be able to seek in it. */
export interface VideoUpload extends Received {
  modality: 'video';
  format: VideoFormat;
  path: string;
  /** Whether it lies below a media root, or was sent to be stored: it may be longer than what is only embedded. */
  mayBeLong?: boolean;
}

/** A file a client sent, whole and of a format the service reads; whether it can be decoded is not yet known. */
export type Upload = ImageUpload | VideoUpload;

export interface ReceiveOptions {
  maxBytes: number;
  /** Most bytes of a video that was sent to be stored; without it, `maxBytes`. */
  maxStoredBytes?: number | undefined;
  /** How many the client says there will be, where it does. */
  expectedBytes?: number;
  /** Folder for temporary files; made when missing. */
  folder: string;
  /** Aborted when the client has disconnected: what was received so far is thrown away. */
  signal?: AbortSignal | undefined;
}

/** A client that only announces a large file holds no more than this. */
const FIRST_BUFFER_BYTES = 64 * 1024;
const SPOOL_SUFFIX = '.upload';

/** What images are received into: enough to go on with when a burst of large ones is over. */
const memory = new BufferPool(64e6);

/**
 * Receives one file: recognises it by its first bytes, counts, hashes, and keeps it where its
 * decoder wants it. The stream is never destroyed, so that its request can still be answered;
 * on an error what is left of it is drained.
 *
 * @throws Problem empty_body, unsupported_media, too_large, disk_full, client_closed
 */
export async function receive(stream: Readable, options: ReceiveOptions): Promise<Upload> {
  const limit: Limit = { maxBytes: Math.max(options.maxBytes, options.maxStoredBytes ?? 0) };
  const chunks = countedChunks(stream, limit, options.signal);
  try {
    return await receiveChunks(chunks, limit, options);
  } catch (error) {
    // The iterator must let go of the stream before it can flow again.
    await chunks.return(undefined);
    stream.resume();
    throw asProblem(error, options.signal);
  }
}

/**
 * Removes what a killed process left in its spool folder; to be called before the first request. What a disk does not
 * let go of is left to the next start.
 */
export async function clearSpool(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const leftovers = names.filter((name) => name.endsWith(SPOOL_SUFFIX));
  await Promise.allSettled(leftovers.map((name) => rm(path.join(folder, name), { force: true })));
}

export interface InPlaceOptions {
  /** Most bytes of an image, which is read into memory. */
  maxImageBytes: number;
  /** Most bytes of a video, which stays where it is. */
  maxVideoBytes: number;
  signal?: AbortSignal | undefined;
}

/**
 * Takes a file of this machine as if it had been sent: an image is read, a video is left where it lies.
 *
 * @throws Problem empty_body, unsupported_media, too_large, client_closed
 */
export async function takeInPlace(
  file: { path: string; bytes: number },
  { maxImageBytes, maxVideoBytes, signal }: InPlaceOptions,
): Promise<Upload> {
  const handle = await open(file.path, 'r');
  try {
    // Few calls: each waits for a thread of the pool in which images are decoded.
    const first = Buffer.allocUnsafe(Math.min(READ_BYTES, file.bytes));
    const head = first.subarray(0, (await handle.read(first, 0, first.length, 0)).bytesRead);
    if (head.length === 0) throw new Problem('empty_body', 'The file is empty.');
    const detected = detect(head.subarray(0, HEAD_BYTES));
    if (detected === undefined) throw unsupported(head);
    const maxBytes = detected.modality === 'image' ? maxImageBytes : maxVideoBytes;
    if (file.bytes > maxBytes) throw tooLarge(maxBytes);
    if (detected.modality === 'image') {
      const rest = chunksFrom(handle, head.length, file.bytes, signal);
      return await keepInMemory(detected, head, rest, file.bytes);
    }
    const sha256 = await contentKey(handle, file.bytes, signal);
    return { ...detected, path: file.path, size: file.bytes, sha256, mayBeLong: true, dispose: async () => {} };
  } finally {
    await handle.close();
  }
}

/** What is read, and hashed, at a time: the hash of as much takes less than a millisecond of the event loop. */
const READ_BYTES = 2 ** 20;
/** What follows of a file, up to the length that it had when it was found: what is appended meanwhile is for the next time. */
async function* chunksFrom(
  handle: FileHandle,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  for (let at = start; at < end; ) {
    if (signal?.aborted) throw clientClosed();
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, end - at));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) return;
    yield chunk.subarray(0, bytesRead);
    at += bytesRead;
  }
}

/** Of a longer video only parts count for its key: to read 20 GB takes a disk minutes. */
const WHOLE_KEY_BYTES = 256e6;
const PART_BYTES = 16e6;

/** SHA-256 of a file; of a long one, of its length, beginning, middle and end. */
async function contentKey(handle: FileHandle, bytes: number, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  const isWhole = bytes <= WHOLE_KEY_BYTES;
  if (!isWhole) hash.update(`${bytes} `);
  const parts = isWhole
    ? [[0, bytes]]
    : [0, (bytes - PART_BYTES) / 2, bytes - PART_BYTES].map((at) => [Math.floor(at), PART_BYTES]);
  const buffer = Buffer.alloc(READ_BYTES);
  for (const [start = 0, length = 0] of parts)
    for (let done = 0; done < length; ) {
      if (signal?.aborted) throw clientClosed();
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - done), start + done);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
  return hash.digest('hex');
}

/** Most bytes of what is being received: known only when its kind is. */
interface Limit {
  maxBytes: number;
}

/** The stream's chunks, until it ends, is too long, or its client is gone. */
async function* countedChunks(stream: Readable, limit: Limit, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const onAbort = () => stream.destroy(clientClosed());
  if (signal?.aborted) throw clientClosed();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    let size = 0;
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      size += chunk.length;
      if (size > limit.maxBytes) throw tooLarge(limit.maxBytes);
      yield chunk;
    }
    // A multipart parser cuts a file at its own limit and only says so in this property.
    if ('truncated' in stream && stream.truncated === true) throw tooLarge(limit.maxBytes);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

const tooLarge = (maxBytes: number) =>
  new Problem('too_large', `The file is larger than the ${maxBytes / 1e6} MB allowed.`, { limit_bytes: maxBytes });

async function receiveChunks(
  chunks: AsyncGenerator<Buffer>,
  limit: Limit,
  { folder, maxBytes, maxStoredBytes, expectedBytes = 0 }: ReceiveOptions,
): Promise<Upload> {
  const head = await readHead(chunks);
  if (head.length === 0) throw new Problem('empty_body', 'The file is empty.');
  const detected = detect(head);
  if (detected === undefined) throw unsupported(head);
  if (detected.modality === 'image') {
    limit.maxBytes = maxBytes;
    return keepInMemory(detected, head, chunks, Math.min(expectedBytes, maxBytes));
  }
  limit.maxBytes = maxStoredBytes ?? maxBytes;
  const upload = await keepInFile(detected, head, chunks, { folder, expectedBytes });
  return maxStoredBytes === undefined ? upload : { ...upload, mayBeLong: true };
}

async function readHead(chunks: AsyncGenerator<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let size = 0; size < HEAD_BYTES; ) {
    const next = await chunks.next();
    if (next.done) break;
    parts.push(next.value);
    size += next.value.length;
  }
  return Buffer.concat(parts);
}

function unsupported(head: Uint8Array): Problem {
  const received = describeRefused(head);
  return new Problem('unsupported_media', `The file looks like ${received}; send ${acceptedFormats()}.`, { received });
}

async function keepInMemory(
  detected: Detected & { modality: 'image' },
  head: Buffer,
  chunks: AsyncGenerator<Buffer>,
  expectedBytes: number,
): Promise<ImageUpload> {
  const hash = createHash('sha256').update(head);
  // What is announced may never arrive: memory is taken for what has, with room to grow.
  let buffer = memory.take(Math.max(head.length, Math.min(expectedBytes, FIRST_BUFFER_BYTES)));
  let size = head.copy(buffer);
  const dispose = once(() => memory.giveBack(buffer));
  try {
    for await (const chunk of chunks) {
      hash.update(chunk);
      const needed = size + chunk.length;
      if (needed > buffer.length) buffer = moved(buffer, size, nextRoom(needed, expectedBytes));
      size += chunk.copy(buffer, size);
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const bytes = buffer.subarray(0, size);
  const format = detected.format === 'tiff' && isRawTiff(bytes) ? 'raw' : detected.format;
  return { modality: 'image', format, bytes, size, sha256: hash.digest('hex'), dispose };
}

/** Four times what is needed, but not more than is still expected. */
const nextRoom = (needed: number, expectedBytes: number): number =>
  expectedBytes < needed ? 2 * needed : Math.min(4 * needed, expectedBytes);

/** The first `size` bytes of a buffer in one with more room. */
function moved(buffer: Buffer, size: number, room: number): Buffer {
  const larger = memory.take(room);
  buffer.copy(larger, 0, 0, size);
  memory.giveBack(buffer);
  return larger;
}

function once(task: () => void): () => Promise<void> {
  let done = false;
  return async () => {
    if (!done) task();
    done = true;
  };
}

async function keepInFile(
  detected: Detected & { modality: 'video' },
  head: Buffer,
  chunks: AsyncGenerator<Buffer>,
  { folder, expectedBytes }: { folder: string; expectedBytes: number },
): Promise<VideoUpload> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (expectedBytes > UNCHECKED_BYTES) await assertRoom(folder, expectedBytes);
  const file = path.resolve(folder, `${randomUUID()}${SPOOL_SUFFIX}`);
  const dispose = () => rm(file, { force: true });
  try {
    // 'wx': a file that is already there is never written over; only this user may read it.
    const handle = await open(file, 'wx', 0o600);
    const written = await writeAll(handle, head, chunks, folder).finally(() => handle.close());
    return { ...detected, ...written, path: file, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function writeAll(handle: FileHandle, head: Buffer, chunks: AsyncGenerator<Buffer>, folder: string) {
  const hash = createHash('sha256').update(head);
  let size = head.length;
  let checked = 0;
  await handle.writeFile(head);
  for await (const chunk of chunks) {
    hash.update(chunk);
    size += chunk.length;
    await handle.writeFile(chunk);
    if (size - checked < UNCHECKED_BYTES) continue;
    await assertRoom(folder, 0);
    checked = size;
  }
  return { size, sha256: hash.digest('hex') };
}

/** A disk has room for this much, or is full anyway. */
const UNCHECKED_BYTES = 64e6;
/** What large files leave free: the index is mostly on the same disk. */
const RESERVED_BYTES = 1e9;

/** @throws Problem `disk_full` where a disk would have too little room left with `bytes` more */
async function assertRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize - bytes < RESERVED_BYTES) throw noRoom();
}

const noRoom = (cause?: unknown): Problem =>
  new Problem('disk_full', 'There is no room to receive the file.', {}, { cause });

/** A stream that broke means a client that went; a full disk is not the client's fault. */
function asProblem(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof Problem) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return noRoom(error);
  if (signal?.aborted || code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') return clientClosed();
  return error;
}
