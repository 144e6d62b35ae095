import { forEachModality, MODALITIES, type Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { nextTurn } from '../../../lib/event-loop.js';
import { References } from '../../originals/reference-counts.js';
import type { EncodedItem } from '../../validate.js';
import type { Counts } from '../../vector-store.js';
import { FlatIndex } from '../ann/flat-index.js';
import type { Loaded } from '../snapshot/reader.js';
import type { Frozen } from '../snapshot/writer.js';
import { decodeOperations, MODALITY_CODES } from '../wal/record.js';
import { Rows } from './rows.js';
import { Shard } from './segment.js';
import type { BaseRows } from './snapshot-rows.js';
import { SortedIds } from './sorted-ids.js';

/** Where an item lives. */
export interface Place {
  shard: Shard;
  row: number;
}

/** The state of an index: a shard for each modality, and which id is where. Changes are synchronous. */
export class Collection {
  readonly shards: Record<Modality, Shard>;
  readonly sortedIds = new SortedIds();
  readonly #references: References;
  #released: string[] = [];
  /** id -> row and modality in one number, which keeps the map free of objects. */
  readonly #slots = new Map<string, number>();

  private constructor(
    readonly dim: number,
    shards: Record<Modality, Shard>,
    references: References,
  ) {
    this.shards = shards;
    this.#references = references;
    for (const shard of Object.values(shards)) this.#register(shard);
  }

  static empty(dim: number, scratch: (modality: Modality) => string): Collection {
    return new Collection(
      dim,
      forEachModality((modality) => Shard.empty(modality, dim, scratch(modality))),
      new References(),
    );
  }

  static fromSnapshot(
    dim: number,
    { shards, references }: Loaded,
    scratch: (modality: Modality) => string,
  ): Collection {
    return new Collection(
      dim,
      forEachModality((modality) => {
        const { base, ...parts } = shards[modality];
        return new Shard(modality, { ...parts, rows: new Rows(dim, base) }, scratch(modality));
      }),
      references,
    );
  }

  #register(shard: Shard): void {
    shard.ids.forEach((id, row) => {
      assert(id !== undefined && !this.#slots.has(id), 'an id that is in the snapshot twice');
      this.#slots.set(id, toSlot(shard.modality, row));
      this.sortedIds.add(id);
    });
  }

  get size(): number {
    return this.#slots.size;
  }

  find(id: string): Place | undefined {
    const slot = this.#slots.get(id);
    if (slot === undefined) return undefined;
    return { shard: this.shards[MODALITIES[slot % SLOT_BASE] as Modality], row: Math.floor(slot / SLOT_BASE) };
  }

  has(id: string): boolean {
    return this.#slots.has(id);
  }

  counts(): Counts {
    return forEachModality((modality) => this.shards[modality].live);
  }

  /** Does what a journal payload says. @returns how many ids its deletes found */
  apply(payload: Uint8Array): number {
    let deleted = 0;
    for (const operation of decodeOperations(payload, this.dim)) {
      if (operation.kind === 'upsert') for (const row of operation.rows) this.#upsert(row);
      else for (const id of operation.ids) deleted += this.#delete(id) ? 1 : 0;
    }
    return deleted;
  }

  #upsert({ id, modality, metadata, vector }: EncodedItem): void {
    this.#references.add(Buffer.from(metadata.buffer, metadata.byteOffset, metadata.length));
    const old = this.find(id);
    if (old === undefined) this.sortedIds.add(id);
    else this.#kill(old);
    this.#slots.set(id, toSlot(modality, this.shards[modality].add(id, vector, metadata)));
  }

  #delete(id: string): boolean {
    const place = this.find(id);
    if (place === undefined) return false;
    this.#kill(place);
    this.#slots.delete(id);
    return true;
  }

  #kill({ shard, row }: Place): void {
    if (!this.#references.isEmpty) this.#released.push(...this.#references.remove(shard.metadata(row)));
    shard.kill(row);
  }

  /** Whether any item refers to a kept file. */
  refersTo(file: string): boolean {
    return this.#references.has(file);
  }

  /** The kept files that nothing refers to any more since this was last asked; one may have been taken up again. */
  takeReleased(): string[] {
    const released = this.#released.filter((file) => !this.#references.has(file));
    this.#released = [];
    return released;
  }

  /** What a snapshot of this moment holds; later changes do not touch it. */
  freeze(lastSequence: number): Frozen {
    return {
      dim: this.dim,
      lastSequence,
      shards: forEachModality((modality) => {
        const { rows, ids } = this.shards[modality];
        return { rows, ids: ids.slice() };
      }),
    };
  }

  /**
   * Serves from a snapshot just written, keeping what happened since it was frozen. Most of that
   * is taken over in slices while others have their turn; the change itself happens at once.
   */
  async adopt(frozen: Frozen, bases: Record<Modality, BaseRows>): Promise<void> {
    for (const modality of MODALITIES) {
      const shard = this.shards[modality];
      const { ids, rows: old } = frozen.shards[modality];
      assert(old === shard.rows, 'a snapshot of rows that are no longer served');
      const rows = new Rows(this.dim, bases[modality]);
      let taken = ids.length;
      for (; old.count - taken > SLICE_ROWS; taken += SLICE_ROWS) {
        rows.appendFrom(old, taken, taken + SLICE_ROWS);
        await nextTurn();
      }
      rows.appendFrom(old, taken, old.count);
      this.#rebase(shard, ids, rows);
      old.close();
    }
  }

  /** Rows that were dead when frozen are gone; those that died since stay, dead. */
  #rebase(shard: Shard, frozenIds: readonly (string | undefined)[], rows: Rows): void {
    const isKept = (row: number) => row >= frozenIds.length || frozenIds[row] !== undefined;
    const ids = shard.ids.filter((_, row) => isKept(row));
    assert(ids.length === rows.count, 'a snapshot with another number of rows than were alive');
    // FAISS knows rows by position: it goes on unless one moved.
    const moved = ids.length < shard.ids.length;
    if (moved && rows.base !== undefined) {
      shard.columns.reorder(Uint32Array.from([...shard.ids.keys()].filter(isKept)));
      shard.replaceIndex(FlatIndex.read(rows.base.files.vectors, this.dim, rows.baseCount));
      ids.forEach((id, row) => {
        if (id !== undefined) this.#slots.set(id, toSlot(shard.modality, row));
      });
    }
    shard.rows = rows;
    shard.ids = ids;
    shard.dead = ids.reduce((count, id) => count + (id === undefined ? 1 : 0), 0);
  }

  close(): void {
    for (const shard of Object.values(this.shards)) shard.rows.close();
  }
}

/** Rows taken over between two turns of the event loop. */
const SLICE_ROWS = 4096;
const SLOT_BASE = 4;
const toSlot = (modality: Modality, row: number): number => row * SLOT_BASE + MODALITY_CODES[modality];
