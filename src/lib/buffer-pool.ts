/**
 * Buffers for received files, reused. Allocating one per file is cheap, but freeing it is not: V8 counts external
 * memory and scans the whole heap every 64 MB of it, which cost a fifth of the service's time with images of a few
 * megabytes.
 */
export class BufferPool {
  /** Free buffers by their length in bytes. */
  private readonly free = new Map<number, Buffer[]>();
  private freeBytes = 0;

  /** @param maxFreeBytes most bytes kept for reuse; buffers beyond are left to the garbage collector */
  constructor(private readonly maxFreeBytes: number) {}

  /** @returns a buffer of at least `bytes` and at most a quarter more (64 kB at least), with arbitrary content */
  take(bytes: number): Buffer {
    const length = roundedUp(bytes);
    const buffer = this.free.get(length)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(length);
    this.freeBytes -= length;
    return buffer;
  }

  /** Returns a buffer to the pool: one from `take`, once, that nothing reads or writes any more. */
  giveBack(buffer: Buffer): void {
    if (this.freeBytes + buffer.length > this.maxFreeBytes) return;
    const sameLength = this.free.get(buffer.length);
    if (sameLength === undefined) this.free.set(buffer.length, [buffer]);
    else sameLength.push(buffer);
    this.freeBytes += buffer.length;
  }
}

const SMALLEST = 64 * 1024;

/** Rounds up to one of four lengths an octave: files of similar sizes share buffers, and at most a quarter is unused. */
function roundedUp(bytes: number): number {
  const step = Math.max(SMALLEST, 2 ** Math.floor(Math.log2(Math.max(1, bytes))) / 4);
  return Math.max(SMALLEST, Math.ceil(bytes / step) * step);
}
