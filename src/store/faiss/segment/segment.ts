import type { Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { nextTurn } from '../../../lib/event-loop.js';
import type { Metadata } from '../../vector-store.js';
import { dropUsed } from '../ann/faiss-binding.js';
import { FlatIndex } from '../ann/flat-index.js';
import type { NeighbourIndex } from '../ann/vector-index.js';
import { MatchCache } from '../query/filter-bitmap.js';
import { Columns } from '../query/payload-index.js';
import type { RawItem } from '../worker/protocol.js';
import { Rows } from './rows.js';

/** Rows handed to FAISS at a time: some milliseconds. */
const FRESH_ROWS = 2048;

/**
 * All items of one modality: one FAISS index, and per row an id, a vector and metadata.
 * Replacing or deleting an item leaves a dead row behind, which the next snapshot drops.
 */
export class Shard {
  readonly modality: Modality;
  rows: Rows;
  index: NeighbourIndex;
  /** Row -> id; nothing where the row is dead. */
  ids: (string | undefined)[];
  dead: number;
  readonly columns: Columns;
  /** Which rows the filters of late select. */
  readonly matches = new MatchCache();
  readonly #scratch: string;

  /** @param scratch path of a file the shard may write and remove */
  constructor(
    modality: Modality,
    { rows, index, ids, columns }: { rows: Rows; index: NeighbourIndex; ids: (string | undefined)[]; columns: Columns },
    scratch: string,
  ) {
    assert(ids.length === rows.count && index.rows <= rows.count, 'a shard whose parts disagree');
    this.modality = modality;
    this.rows = rows;
    this.index = index;
    this.ids = ids;
    this.dead = 0;
    this.columns = columns;
    this.#scratch = scratch;
  }

  static empty(modality: Modality, dim: number, scratch: string): Shard {
    const parts = { rows: new Rows(dim, undefined), index: FlatIndex.empty(dim), ids: [], columns: new Columns() };
    return new Shard(modality, parts, scratch);
  }

  get live(): number {
    return this.ids.length - this.dead;
  }

  add(id: string, vector: Uint8Array, metadata: Uint8Array): number {
    const row = this.rows.append(vector, metadata);
    this.columns.set(
      row,
      JSON.parse(Buffer.from(metadata.buffer, metadata.byteOffset, metadata.length).toString()) as Metadata,
    );
    this.ids.push(id);
    assert(this.ids.length === row + 1, 'a shard whose ids and rows differ in number');
    if (this.rows.count - this.index.rows >= FRESH_ROWS) this.catchUp();
    return row;
  }

  kill(row: number): void {
    assert(this.ids[row] !== undefined, 'a row that dies twice');
    this.ids[row] = undefined;
    this.dead += 1;
  }

  vector(row: number): Buffer {
    return this.rows.vectors(row, 1);
  }

  metadata(row: number): Buffer {
    const id = this.ids[row];
    assert(id !== undefined, 'metadata of a dead row');
    return this.rows.metadata(row, id);
  }

  serialize(row: number): RawItem {
    const id = this.ids[row];
    assert(id !== undefined, 'a deleted row to be serialized');
    return { id, modality: this.modality, metadata: this.metadata(row).toString() };
  }

  /** Hands FAISS the rows it has not seen: they gather here until there are many or someone searches. */
  catchUp(): void {
    while (this.index.rows < this.rows.count) this.#feed(this.index);
  }

  /**
   * Searches by another index from now on, once it has been given the rows it lacks, in slices
   * while others have their turn.
   */
  async useIndex(index: NeighbourIndex): Promise<void> {
    const { rows } = this;
    while (rows.count - index.rows > FRESH_ROWS) {
      this.#feed(index);
      await nextTurn();
      // A snapshot has put other rows in their place, and another index will follow.
      if (this.rows !== rows) return;
    }
    this.replaceIndex(index);
  }

  replaceIndex(index: NeighbourIndex): void {
    this.index = index;
    dropUsed();
  }

  #feed(index: NeighbourIndex): void {
    const from = index.rows;
    const until = Math.min(from + FRESH_ROWS, this.rows.count);
    const fresh = Array.from({ length: until - from }, (_, i) => this.vector(from + i));
    index.add(fresh, this.#scratch);
  }
}
