/**
 * All ids in order, for paging. Added ids are sorted in when a page is next read; deleted ids stay until then,
 * because readers look every id up anyway.
 */
export class SortedIds {
  #sorted: string[] = [];
  #added: string[] = [];

  add(id: string): void {
    this.#added.push(id);
  }

  /**
   * The ids after `cursor` in order, some of which may be deleted.
   * @param exists drops deleted ids whenever added ones are merged
   */
  *after(cursor: string | undefined, exists: (id: string) => boolean): Generator<string> {
    if (this.#added.length > 0) this.#merge(exists);
    const sorted = this.#sorted;
    for (let at = cursor === undefined ? 0 : firstAfter(sorted, cursor); at < sorted.length; at++)
      yield sorted[at] as string;
  }

  #merge(exists: (id: string) => boolean): void {
    const added = this.#added.sort();
    const merged: string[] = [];
    const take = (id: string) => {
      if (id !== merged.at(-1) && exists(id)) merged.push(id);
    };
    let next = 0;
    for (const id of this.#sorted) {
      while (next < added.length && (added[next] as string) < id) take(added[next++] as string);
      take(id);
    }
    while (next < added.length) take(added[next++] as string);
    this.#sorted = merged;
    this.#added = [];
  }
}

function firstAfter(sorted: readonly string[], cursor: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as string) <= cursor) low = middle + 1;
    else high = middle;
  }
  return low;
}
