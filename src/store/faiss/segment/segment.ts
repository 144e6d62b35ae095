import type { Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { yieldToEventLoop } from '../../../lib/async/event-loop.js';
import type { Metadata } from '../../vector-store.js';
import { releaseAll } from '../ann/faiss-binding.js';
import { FlatIndex } from '../ann/flat-index.js';
import type { VectorIndex } from '../ann/vector-index.js';
import { FilterBitmapCache } from '../query/filter-bitmap.js';
import { PayloadIndex } from '../query/payload-index.js';
import type { SerializedItem } from '../worker/protocol.js';
import { Rows } from './rows.js';

/** Rows that FAISS indexes in one call: some milliseconds. */
const INDEX_BATCH_ROWS = 2048;

interface SegmentParts {
  rows: Rows;
  index: VectorIndex;
  ids: (string | undefined)[];
  payloadIndex: PayloadIndex;
}

/**
 * All items of one modality: a vector index, and per row an id, a vector and metadata. Replacing or deleting an
 * item leaves a tombstone, a row without id, which the next snapshot drops.
 */
export class Segment {
  readonly modality: Modality;
  rows: Rows;
  index: VectorIndex;
  /** Row -> id; undefined for a tombstone. */
  ids: (string | undefined)[];
  tombstones = 0;
  readonly payloadIndex: PayloadIndex;
  readonly filterBitmaps = new FilterBitmapCache();
  readonly #scratch: string;

  /** @param scratch path of a file the segment may write and remove */
  constructor(modality: Modality, { rows, index, ids, payloadIndex }: SegmentParts, scratch: string) {
    assert(ids.length === rows.count && index.rows <= rows.count, 'a segment whose parts disagree');
    this.modality = modality;
    this.rows = rows;
    this.index = index;
    this.ids = ids;
    this.payloadIndex = payloadIndex;
    this.#scratch = scratch;
  }

  static empty(modality: Modality, dim: number, scratch: string): Segment {
    const payloadIndex = new PayloadIndex();
    const parts = { rows: new Rows(dim, undefined), index: FlatIndex.empty(dim), ids: [], payloadIndex };
    return new Segment(modality, parts, scratch);
  }

  /** Items: rows that are not tombstones. */
  get live(): number {
    return this.ids.length - this.tombstones;
  }

  /** @returns the new row */
  add(id: string, vector: Uint8Array, metadata: Uint8Array): number {
    const row = this.rows.append(vector, metadata);
    const json = Buffer.from(metadata.buffer, metadata.byteOffset, metadata.length).toString();
    this.payloadIndex.set(row, JSON.parse(json) as Metadata);
    this.ids.push(id);
    assert(this.ids.length === row + 1, 'a segment whose ids and rows differ in number');
    if (this.rows.count - this.index.rows >= INDEX_BATCH_ROWS) this.indexPendingRows();
    return row;
  }

  /** Turns a row into a tombstone. */
  delete(row: number): void {
    assert(this.ids[row] !== undefined, 'a row that is deleted twice');
    this.ids[row] = undefined;
    this.tombstones += 1;
  }

  /** The row's vector as float32 bytes. */
  vector(row: number): Buffer {
    return this.rows.vectors(row, 1);
  }

  /** The row's metadata as UTF-8 JSON. */
  metadata(row: number): Buffer {
    return this.rows.metadata(row, this.#idOf(row));
  }

  /** A row as it travels to another thread. */
  serialize(row: number): SerializedItem {
    const id = this.#idOf(row);
    return { id, modality: this.modality, metadata: this.rows.metadata(row, id).toString() };
  }

  #idOf(row: number): string {
    const id = this.ids[row];
    assert(id !== undefined, 'a tombstone read as an item');
    return id;
  }

  /** Adds the rows that the index lacks: written rows gather until there are many of them, or a search comes. */
  indexPendingRows(): void {
    while (this.index.rows < this.rows.count) this.#feed(this.index);
  }

  /**
   * Searches by another index, once it has the rows it lacks; those are added in slices that yield to the event
   * loop, while searches use the present index.
   */
  async installIndex(index: VectorIndex): Promise<void> {
    const { rows } = this;
    while (rows.count - index.rows > INDEX_BATCH_ROWS) {
      this.#feed(index);
      await yieldToEventLoop();
      // A snapshot has replaced the rows, and an index of that snapshot follows.
      if (this.rows !== rows) return;
    }
    this.replaceIndex(index);
  }

  replaceIndex(index: VectorIndex): void {
    this.index = index;
    releaseAll();
  }

  #feed(index: VectorIndex): void {
    const from = index.rows;
    const until = Math.min(from + INDEX_BATCH_ROWS, this.rows.count);
    const vectors = Array.from({ length: until - from }, (_, i) => this.vector(from + i));
    index.add(vectors, this.#scratch);
  }
}
