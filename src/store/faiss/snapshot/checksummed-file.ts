import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.js';
import { writeFully } from '../../../lib/fs.js';

/** Length and CRC-32 of a file, as it must be when it is read back. */
export interface Checksum {
  bytes: number;
  crc32: number;
}

const CHUNK_BYTES = 1 << 20;

/** A file written once from front to back, with its checksum computed on the way. */
export class ChecksummedFile {
  readonly #handle: FileHandle;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #checksum: Checksum = { bytes: 0, crc32: 0 };

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async create(file: string): Promise<ChecksummedFile> {
    return new ChecksummedFile(await open(file, 'wx'));
  }

  /** Buffers the bytes, which must not change until a later `write` or `finish` resolves. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= CHUNK_BYTES) await this.#flush();
  }

  /** Makes the file durable and closes it. @returns its checksum */
  async finish(): Promise<Checksum> {
    await this.#flush();
    await this.#handle.sync();
    await this.#handle.close();
    return this.#checksum;
  }

  /** Closes the file without making it durable. */
  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending, this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
    await writeFully(this.#handle, bytes, this.#checksum.bytes);
    this.#checksum = { bytes: this.#checksum.bytes + bytes.length, crc32: crc32(bytes, this.#checksum.crc32) };
  }
}

/**
 * Reads a file from front to back and verifies its checksum. The last chunk is passed on before the checksum is
 * known, so callers must not use what they read until this resolves.
 * @throws Error when the file is not the one the checksum was computed of
 */
export async function readVerified(file: string, expected: Checksum, onChunk?: (chunk: Buffer) => void): Promise<void> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    assert(size === expected.bytes, `a snapshot file of ${size} bytes where ${expected.bytes} were written`);
    const buffer = Buffer.allocUnsafe(Math.min(size, CHUNK_BYTES));
    let checksum = 0;
    for (let at = 0; at < size; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      assert(bytesRead > 0, 'a snapshot file that ends early');
      const chunk = buffer.subarray(0, bytesRead);
      checksum = crc32(chunk, checksum);
      onChunk?.(chunk);
      at += bytesRead;
    }
    assert(checksum === expected.crc32, 'a snapshot file whose checksum does not match');
  } finally {
    await handle.close();
  }
}

/** The checksum of a file as it is. */
export async function checksumOf(file: string): Promise<Checksum> {
  const handle = await open(file, 'r');
  try {
    const checksum = { bytes: 0, crc32: 0 };
    for await (const chunk of handle.createReadStream({ autoClose: false })) {
      checksum.crc32 = crc32(chunk as Buffer, checksum.crc32);
      checksum.bytes += (chunk as Buffer).length;
    }
    return checksum;
  } finally {
    await handle.close();
  }
}
