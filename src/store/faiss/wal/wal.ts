import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.js';
import { writeFully } from '../../../lib/fs.js';
import { LIMITS } from '../../limits.js';

/**
 * An append-only file of frames. One frame is one group commit, written and synced as a whole:
 *
 *   magic u32 | payload bytes u32 | sequence u64 | crc32 of the 12 bytes before it and the payload u32 | payload
 *
 * The next frame is written only after the last one is on the disk, so a crash can tear only
 * the very end of the newest journal. Sequence numbers run on without a gap across journals.
 */
const MAGIC = 0x314a534f; // "OSJ1"
const HEAD_BYTES = 20;

/** Where a journal ends: what the next frame continues from. */
export interface JournalEnd {
  bytes: number;
  sequence: number;
}

/** The writing end of a journal. One `append` at a time. */
export class Journal {
  #handle: FileHandle;
  #end: JournalEnd;
  /** The disk refused even to take a failed write back: only a restart can tell what it holds. */
  #broken: unknown;

  private constructor(handle: FileHandle, end: JournalEnd) {
    this.#handle = handle;
    this.#end = end;
  }

  /** A new, empty journal. The caller syncs the folder. */
  static async create(file: string, lastSequence: number): Promise<Journal> {
    return new Journal(await open(file, 'wx'), { bytes: 0, sequence: lastSequence });
  }

  /** Goes on with a journal that was read to its end; what a crash tore off beyond it is cut. */
  static async resume(file: string, end: JournalEnd): Promise<Journal> {
    const handle = await open(file, 'r+');
    const { size } = await handle.stat();
    assert(size >= end.bytes, 'a journal that shrank while it was opened');
    if (size > end.bytes) {
      await handle.truncate(end.bytes);
      await handle.sync();
    }
    return new Journal(handle, end);
  }

  get end(): Readonly<JournalEnd> {
    return this.#end;
  }

  /**
   * Makes one frame durable.
   * @throws the error of the disk; the journal then ends where it ended before
   */
  async append(payload: readonly Uint8Array[]): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    const sequence = this.#end.sequence + 1;
    const frame = encodeFrame(sequence, payload);
    try {
      await writeFully(this.#handle, frame, this.#end.bytes);
      await this.#handle.datasync();
    } catch (error) {
      await this.#takeBack();
      throw error;
    }
    this.#end = { bytes: this.#end.bytes + frame.length, sequence };
  }

  async #takeBack(): Promise<void> {
    try {
      await this.#handle.truncate(this.#end.bytes);
      await this.#handle.sync();
    } catch (error) {
      this.#broken = error;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function encodeFrame(sequence: number, payload: readonly Uint8Array[]): Buffer {
  const bytes = payload.reduce((sum, part) => sum + part.length, 0);
  assert(bytes > 0 && bytes <= LIMITS.frameBytes, `a frame of ${bytes} bytes`);
  const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes);
  frame.writeUInt32LE(MAGIC, 0);
  frame.writeUInt32LE(bytes, 4);
  frame.writeBigUInt64LE(BigInt(sequence), 8);
  let at = HEAD_BYTES;
  for (const part of payload) {
    frame.set(part, at);
    at += part.length;
  }
  frame.writeUInt32LE(frameChecksum(frame), 16);
  return frame;
}

const frameChecksum = (frame: Buffer): number => crc32(frame.subarray(HEAD_BYTES), crc32(frame.subarray(4, 16)));

/** What reading a journal found. `torn` bytes at its end were never acknowledged. */
export interface JournalReading {
  end: JournalEnd;
  tornBytes: number;
}

/**
 * Reads a journal, verifying every frame, and hands each payload over in order.
 *
 * @param lastSequence of the journal or snapshot before it
 * @param newest only the newest journal may end in a torn frame
 * @throws Error when a frame that was once acknowledged is damaged
 */
export async function readJournal(
  file: string,
  { lastSequence, newest }: { lastSequence: number; newest: boolean },
  onPayload: (payload: Buffer) => void,
): Promise<JournalReading> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const end = { bytes: 0, sequence: lastSequence };
    for (;;) {
      const payload = await readFrame(handle, size, end);
      if (payload === undefined) break;
      onPayload(payload);
      end.bytes += HEAD_BYTES + payload.length;
      end.sequence += 1;
    }
    const tornBytes = size - end.bytes;
    if (tornBytes > 0) await assertTorn(handle, size, end, newest);
    return { end, tornBytes };
  } finally {
    await handle.close();
  }
}

/** The payload of the frame that starts at `end`, or nothing where no whole, right frame does. */
async function readFrame(handle: FileHandle, size: number, end: JournalEnd): Promise<Buffer | undefined> {
  if (size - end.bytes < HEAD_BYTES) return undefined;
  const head = Buffer.alloc(HEAD_BYTES);
  await handle.read(head, 0, HEAD_BYTES, end.bytes);
  const bytes = head.readUInt32LE(4);
  const plausible =
    head.readUInt32LE(0) === MAGIC &&
    bytes > 0 &&
    bytes <= LIMITS.frameBytes &&
    bytes <= size - end.bytes - HEAD_BYTES &&
    head.readBigUInt64LE(8) === BigInt(end.sequence + 1);
  if (!plausible) return undefined;
  const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes);
  await handle.read(frame, 0, frame.length, end.bytes);
  return frame.readUInt32LE(16) === frameChecksum(frame) ? frame.subarray(HEAD_BYTES) : undefined;
}

/**
 * Tells a torn end from damage in the middle: after a torn frame comes nothing, because the
 * next one is written only when the last one is safe.
 */
async function assertTorn(handle: FileHandle, size: number, end: JournalEnd, newest: boolean): Promise<void> {
  assert(newest, `a closed journal is damaged at byte ${end.bytes}`);
  const rest = Buffer.alloc(Math.min(size - end.bytes, LIMITS.frameBytes + 2 * HEAD_BYTES));
  await handle.read(rest, 0, rest.length, end.bytes);
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(MAGIC);
  for (let at = rest.indexOf(magic); at !== -1 && at + HEAD_BYTES <= rest.length; at = rest.indexOf(magic, at + 1)) {
    const sequence = Number(rest.readBigUInt64LE(at + 8));
    const whole = await readFrame(handle, size, { bytes: end.bytes + at, sequence: sequence - 1 });
    assert(whole === undefined, `the journal is damaged at byte ${end.bytes}, and acknowledged writes follow`);
  }
}
