/** A row and how well it matches. */
export interface Candidate {
  id: string;
  row: number;
  score: number;
}

/** Best first; equal scores by id, so that the same query always has the same answer. */
export const byScoreThenId = (a: Candidate, b: Candidate): number =>
  b.score - a.score || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

/** Keeps the best `k` of all that are offered, in a binary heap with the worst on top. */
export class TopK {
  readonly #heap: Candidate[] = [];

  constructor(readonly k: number) {}

  offer(candidate: Candidate): void {
    if (this.#heap.length < this.k) {
      this.#heap.push(candidate);
      this.#rise(this.#heap.length - 1);
    } else if (byScoreThenId(candidate, this.#heap[0] as Candidate) < 0) {
      this.#heap[0] = candidate;
      this.#sink();
    }
  }

  best(): Candidate[] {
    return [...this.#heap].sort(byScoreThenId);
  }

  #rise(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#worse(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(): void {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= this.#heap.length) return;
      const right = left + 1;
      const child = right < this.#heap.length && this.#worse(right, left) ? right : left;
      if (!this.#worse(child, at)) return;
      this.#swap(at, child);
      at = child;
    }
  }

  #worse(a: number, b: number): boolean {
    return byScoreThenId(this.#heap[a] as Candidate, this.#heap[b] as Candidate) > 0;
  }

  #swap(a: number, b: number): void {
    const kept = this.#heap[a] as Candidate;
    this.#heap[a] = this.#heap[b] as Candidate;
    this.#heap[b] = kept;
  }
}
