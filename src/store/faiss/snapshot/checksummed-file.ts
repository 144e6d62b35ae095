import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { assert } from '../../../lib/assert.js';
import { writeFully } from '../../../lib/fs.js';

/** What a file must be when it is read back. */
export interface Seal {
  bytes: number;
  crc32: number;
}

const CHUNK_BYTES = 1 << 20;

/** A file written once from front to back, its checksum taken on the way. */
export class CheckedFile {
  readonly #handle: FileHandle;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #seal: Seal = { bytes: 0, crc32: 0 };

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async create(file: string): Promise<CheckedFile> {
    return new CheckedFile(await open(file, 'wx'));
  }

  /** The bytes must not change until the next `await` of this has passed. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= CHUNK_BYTES) await this.#flush();
  }

  /** Makes the file durable. */
  async finish(): Promise<Seal> {
    await this.#flush();
    await this.#handle.sync();
    await this.#handle.close();
    return this.#seal;
  }

  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending, this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
    await writeFully(this.#handle, bytes, this.#seal.bytes);
    this.#seal = { bytes: this.#seal.bytes + bytes.length, crc32: crc32(bytes, this.#seal.crc32) };
  }
}

/**
 * Reads a sealed file from front to back and hands over its chunks; the last one has been
 * handed over before the checksum is known, so nothing may be concluded until this returns.
 * @throws Error when the file is not what was sealed
 */
export async function readSealed(file: string, seal: Seal, onChunk?: (chunk: Buffer) => void): Promise<void> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    assert(size === seal.bytes, `a snapshot file of ${size} bytes where ${seal.bytes} were written`);
    const buffer = Buffer.alloc(CHUNK_BYTES);
    let checksum = 0;
    for (let at = 0; at < size; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      assert(bytesRead > 0, 'a snapshot file that ends early');
      const chunk = buffer.subarray(0, bytesRead);
      checksum = crc32(chunk, checksum);
      onChunk?.(chunk);
      at += bytesRead;
    }
    assert(checksum === seal.crc32, 'a snapshot file whose checksum does not match');
  } finally {
    await handle.close();
  }
}

/** The seal of a file as it is. */
export async function sealOf(file: string): Promise<Seal> {
  const handle = await open(file, 'r');
  try {
    const seal = { bytes: 0, crc32: 0 };
    for await (const chunk of handle.createReadStream({ autoClose: false })) {
      seal.crc32 = crc32(chunk as Buffer, seal.crc32);
      seal.bytes += (chunk as Buffer).length;
    }
    return seal;
  } finally {
    await handle.close();
  }
}
