import { filesOfStored } from './source-ref.js';

/** How many items refer to each kept file. Takes about 100 bytes per file. */
export class ReferenceCounts {
  readonly #counts = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  has(file: string): boolean {
    return this.#counts.has(file);
  }

  /** @param metadata of an item that was added, as it is stored */
  add(metadata: Buffer): void {
    for (const file of filesOfStored(metadata)) this.#counts.set(file, (this.#counts.get(file) ?? 0) + 1);
  }

  /** @param metadata of an item that was deleted, as it is stored @returns the files that lost their last reference */
  remove(metadata: Buffer): string[] {
    return filesOfStored(metadata).filter((file) => {
      const left = (this.#counts.get(file) ?? 0) - 1;
      if (left > 0) this.#counts.set(file, left);
      else this.#counts.delete(file);
      return left <= 0;
    });
  }
}
