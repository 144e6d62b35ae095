import { filesOfStored } from './source-ref.js';

/** How many items refer to each kept file. About 100 bytes a file; nothing where no originals are kept. */
export class References {
  readonly #counts = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  has(file: string): boolean {
    return this.#counts.has(file);
  }

  /** @param metadata of an item that is there from now on, as it is stored */
  add(metadata: Buffer): void {
    for (const file of filesOfStored(metadata)) this.#counts.set(file, (this.#counts.get(file) ?? 0) + 1);
  }

  /** @returns the files that nothing refers to any more */
  remove(metadata: Buffer): string[] {
    return filesOfStored(metadata).filter((file) => {
      const left = (this.#counts.get(file) ?? 0) - 1;
      if (left > 0) this.#counts.set(file, left);
      else this.#counts.delete(file);
      return left <= 0;
    });
  }
}
