/**
 * Memory for received files, used again and again. A fresh buffer for each would be cheap to make and dear to
 * forget: V8 counts its bytes and goes through the whole heap every 64 MB of them, which for pictures of a few
 * megabytes cost a fifth of the service's time.
 */
export class RecycledMemory {
  /** Free buffers by their length. */
  private readonly free = new Map<number, Buffer[]>();
  private freeBytes = 0;

  /** @param maxFreeBytes what is given back beyond this is left to the garbage collector */
  constructor(private readonly maxFreeBytes: number) {}

  /** A buffer of at least `bytes`; what it holds is left from its last use. */
  take(bytes: number): Buffer {
    const length = roundedUp(bytes);
    const buffer = this.free.get(length)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(length);
    this.freeBytes -= length;
    return buffer;
  }

  /** Takes a buffer back that nobody reads or writes any more; it must have come from `take`, and only once. */
  giveBack(buffer: Buffer): void {
    if (this.freeBytes + buffer.length > this.maxFreeBytes) return;
    const alike = this.free.get(buffer.length);
    if (alike === undefined) this.free.set(buffer.length, [buffer]);
    else alike.push(buffer);
    this.freeBytes += buffer.length;
  }
}

const SMALLEST = 64 * 1024;

/** Four lengths an octave, so that files of different sizes find each other's buffers and a quarter at most is unused. */
function roundedUp(bytes: number): number {
  const step = Math.max(SMALLEST, 2 ** Math.floor(Math.log2(Math.max(1, bytes))) / 4);
  return Math.max(SMALLEST, Math.ceil(bytes / step) * step);
}
