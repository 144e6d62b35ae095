const BLOCK_BYTES = 1 << 20;

/**
 * Many small byte strings outside the JavaScript heap, in blocks of 1 MiB; no entry spans two blocks.
 * Entries start at multiples of 4, so that vectors can be viewed in place.
 */
export class Arena {
  readonly #blocks: Buffer[] = [];
  #used = BLOCK_BYTES;

  /** @returns the position of the entry, for `view` @throws RangeError for an entry larger than a block */
  append(parts: readonly Uint8Array[]): number {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (bytes > BLOCK_BYTES) throw new RangeError(`index: an entry of ${bytes} bytes in blocks of ${BLOCK_BYTES}`);
    if (this.#used + bytes > BLOCK_BYTES) {
      this.#blocks.push(Buffer.from(new ArrayBuffer(BLOCK_BYTES)));
      this.#used = 0;
    }
    const block = this.#blocks.at(-1) as Buffer;
    const start = this.#used;
    for (const part of parts) {
      block.set(part, this.#used);
      this.#used += part.length;
    }
    this.#used = Math.ceil(this.#used / 4) * 4;
    return (this.#blocks.length - 1) * BLOCK_BYTES + start;
  }

  /** The bytes themselves, not a copy. */
  view(start: number, bytes: number): Buffer {
    const block = this.#blocks[Math.floor(start / BLOCK_BYTES)] as Buffer;
    const offset = start % BLOCK_BYTES;
    return block.subarray(offset, offset + bytes);
  }
}
