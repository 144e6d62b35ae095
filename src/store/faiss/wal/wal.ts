import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.js';
import { readFully, writeFully } from '../../../lib/fs.js';
import { LIMITS } from '../../limits.js';
import { NewerFormatError } from '../newer-format.js';

/**
 * An append-only file of frames. One frame is one group commit, written and synced as a whole:
 *
 *   magic u32 | payload bytes u32 | sequence u64 | crc32 of the 12 bytes before it and the payload u32 | payload
 *
 * The next frame is written only after the last one is on the disk, so a crash can tear only
 * the very end of the newest log. Sequence numbers continue without a gap from one log to the next.
 */
const MAGIC = 0x314a534f; // "OSJ1"
const HEAD_BYTES = 20;

/** Where a log ends, and the sequence number of its last frame. */
export interface WalEnd {
  bytes: number;
  sequence: number;
}

/**
 * The writing end of a write-ahead log. One `append` at a time.
 *
 * A failed write is cut off again, at once or before the next write. A failed sync leaves it unknown which of the
 * bytes written since the last sync are on the disk, and the next sync may succeed without them. So the log is cut
 * back to its last acknowledged frame, and no frame is added to it any more: `isSuspect` calls for a new log.
 */
export class WriteAheadLog {
  #handle: FileHandle;
  #end: WalEnd;
  /** There may be bytes of a failed write after the end. */
  #isTorn = false;
  #hasFailedSync = false;

  private constructor(handle: FileHandle, end: WalEnd) {
    this.#handle = handle;
    this.#end = end;
  }

  /** Creates an empty log. The caller syncs the folder. */
  static async create(file: string, lastSequence: number): Promise<WriteAheadLog> {
    return new WriteAheadLog(await open(file, 'wx'), { bytes: 0, sequence: lastSequence });
  }

  /** Continues a log that was read to its end: cuts off a torn frame after that, and makes what was read durable. */
  static async resume(file: string, end: WalEnd): Promise<WriteAheadLog> {
    const wal = new WriteAheadLog(await open(file, 'r+'), end);
    try {
      const { size } = await wal.#handle.stat();
      assert(size >= end.bytes, 'a write-ahead log that shrank while it was opened');
      wal.#isTorn = size > end.bytes;
      await wal.cut();
      await wal.#handle.sync();
    } catch (error) {
      await wal.close();
      throw error;
    }
    return wal;
  }

  get end(): Readonly<WalEnd> {
    return this.#end;
  }

  /** A sync has failed since frames were written to it: the next frame belongs into a new log. */
  get isSuspect(): boolean {
    return this.#hasFailedSync && this.#end.bytes > 0;
  }

  /**
   * Makes one frame durable.
   * @throws the error of the disk; nothing of the frame is read back while this process runs
   */
  async append(payload: readonly Uint8Array[]): Promise<void> {
    assert(!this.isSuspect, 'a frame for a write-ahead log that could not be synced');
    await this.cut();
    const sequence = this.#end.sequence + 1;
    const frame = encodeFrame(sequence, payload);
    this.#isTorn = true;
    try {
      await writeFully(this.#handle, frame, this.#end.bytes);
      await this.#sync(() => this.#handle.datasync());
    } catch (error) {
      // Where this fails too, the next write tries it again.
      await this.cut().catch(() => {});
      throw error;
    }
    this.#isTorn = false;
    this.#end = { bytes: this.#end.bytes + frame.length, sequence };
  }

  /** Cuts off what a failed write left. @throws the error of the disk */
  async cut(): Promise<void> {
    if (!this.#isTorn) return;
    await this.#handle.truncate(this.#end.bytes);
    await this.#sync(() => this.#handle.sync());
    this.#isTorn = false;
    // Nothing that was acknowledged is in an empty log.
    if (this.#end.bytes === 0) this.#hasFailedSync = false;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #sync(sync: () => Promise<void>): Promise<void> {
    try {
      await sync();
    } catch (error) {
      this.#hasFailedSync = true;
      throw error;
    }
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

/** What reading a log found. */
export interface WalReading {
  end: WalEnd;
  /** Bytes of a torn frame at its end, which was never acknowledged. */
  tornBytes: number;
}

/**
 * Reads a log, verifying every frame, and passes each payload on in order.
 *
 * @param lastSequence of the log or snapshot before it
 * @param mayBeTorn whether it is the last log that was written to, which may end in a torn frame
 * @throws Error when an acknowledged frame is damaged
 */
export async function readWal(
  file: string,
  { lastSequence, mayBeTorn }: { lastSequence: number; mayBeTorn: boolean },
  onPayload: (payload: Buffer) => void,
): Promise<WalReading> {
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
    if (tornBytes > 0) {
      await assertKnownFormat(handle, end);
      assert(mayBeTorn, `a closed write-ahead log is damaged at byte ${end.bytes}`);
      await assertTorn(handle, size, end);
    }
    return { end, tornBytes };
  } finally {
    await handle.close();
  }
}

/** The payload of the frame at `end`; undefined where there is no whole, undamaged frame. */
async function readFrame(handle: FileHandle, size: number, end: WalEnd): Promise<Buffer | undefined> {
  if (size - end.bytes < HEAD_BYTES) return undefined;
  const head = Buffer.alloc(HEAD_BYTES);
  await readFully(handle, head, end.bytes);
  const bytes = head.readUInt32LE(4);
  const isPlausible =
    head.readUInt32LE(0) === MAGIC &&
    bytes > 0 &&
    bytes <= LIMITS.frameBytes &&
    bytes <= size - end.bytes - HEAD_BYTES &&
    head.readBigUInt64LE(8) === BigInt(end.sequence + 1);
  if (!isPlausible) return undefined;
  const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes);
  await readFully(handle, frame, end.bytes);
  return frame.readUInt32LE(16) === frameChecksum(frame) ? frame.subarray(HEAD_BYTES) : undefined;
}

/** @throws NewerFormatError for a frame of another version; cutting it off as torn would lose acknowledged writes */
async function assertKnownFormat(handle: FileHandle, end: WalEnd): Promise<void> {
  const magic = Buffer.alloc(4);
  await handle.read(magic, 0, magic.length, end.bytes);
  const text = magic.toString('latin1');
  if (/^OSJ[02-9A-Z]$/.test(text))
    throw new NewerFormatError(`the write-ahead log has format ${text}, and this version reads OSJ1`);
}

/**
 * Tells a torn end from damage in the middle: no frame follows a torn one, because the next frame is written only
 * after the last one is on the disk. Where a crash left older bytes of the disk, they may hold older frames.
 * @throws Error when acknowledged frames follow
 */
async function assertTorn(handle: FileHandle, size: number, end: WalEnd): Promise<void> {
  const torn = end.sequence + 1;
  const rest = Buffer.alloc(Math.min(size - end.bytes, LIMITS.frameBytes + 2 * HEAD_BYTES));
  await readFully(handle, rest, end.bytes);
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(MAGIC);
  for (let at = rest.indexOf(magic); at !== -1 && at + HEAD_BYTES <= rest.length; at = rest.indexOf(magic, at + 1)) {
    const sequence = Number(rest.readBigUInt64LE(at + 8));
    if (sequence <= torn) continue;
    const whole = await readFrame(handle, size, { bytes: end.bytes + at, sequence: sequence - 1 });
    assert(whole === undefined, `the write-ahead log is damaged at byte ${end.bytes}, and acknowledged writes follow`);
  }
}
