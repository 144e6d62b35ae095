import {
  forEachModality,
  MODALITIES,
  MODALITY_CODES,
  MODALITY_CODES_END,
  type Modality,
  modalityOfCode,
} from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { yieldToEventLoop } from '../../../lib/async/event-loop.js';
import { ReferenceCounts } from '../../originals/reference-counts.js';
import type { EncodedItem } from '../../validate.js';
import type { Counts } from '../../vector-store.js';
import { FlatIndex } from '../ann/flat-index.js';
import type { LoadedSnapshot } from '../snapshot/reader.js';
import type { CapturedCollection, CapturedSegment } from '../snapshot/writer.js';
import { decodeOperations } from '../wal/record.js';
import { Rows } from './rows.js';
import { Segment } from './segment.js';
import type { SnapshotRows } from './snapshot-rows.js';
import { SortedIds } from './sorted-ids.js';

/** Where an item is. */
export interface ItemLocation {
  segment: Segment;
  row: number;
}

/** Rows installed between two turns of the event loop. */
const SLICE_ROWS = 4096;

/** The state of an index: a segment for each modality, and where each id is. Changes are synchronous. */
export class Collection {
  readonly segments: Record<Modality, Segment>;
  readonly sortedIds = new SortedIds();
  readonly #references: ReferenceCounts;
  #released: string[] = [];
  /** id -> row and modality in one number, which keeps the map free of objects. */
  readonly #slots = new Map<string, number>();

  private constructor(
    readonly dim: number,
    segments: Record<Modality, Segment>,
    references: ReferenceCounts,
  ) {
    this.segments = segments;
    this.#references = references;
    for (const segment of Object.values(segments)) this.#register(segment);
  }

  static empty(dim: number, scratch: (modality: Modality) => string): Collection {
    return new Collection(
      dim,
      forEachModality((modality) => Segment.empty(modality, dim, scratch(modality))),
      new ReferenceCounts(),
    );
  }

  static fromSnapshot(
    dim: number,
    { segments, references }: LoadedSnapshot,
    scratch: (modality: Modality) => string,
  ): Collection {
    return new Collection(
      dim,
      forEachModality((modality) => {
        const segment = segments[modality];
        if (segment === undefined) return Segment.empty(modality, dim, scratch(modality));
        const { snapshotRows, ...parts } = segment;
        return new Segment(modality, { ...parts, rows: new Rows(dim, snapshotRows) }, scratch(modality));
      }),
      references,
    );
  }

  #register(segment: Segment): void {
    segment.ids.forEach((id, row) => {
      assert(id !== undefined && !this.#slots.has(id), 'an id that is in the snapshot twice');
      this.#slots.set(id, toSlot(segment.modality, row));
      this.sortedIds.add(id);
    });
  }

  get size(): number {
    return this.#slots.size;
  }

  find(id: string): ItemLocation | undefined {
    const slot = this.#slots.get(id);
    if (slot === undefined) return undefined;
    const modality = modalityOfCode(slot % MODALITY_CODES_END) as Modality;
    return { segment: this.segments[modality], row: Math.floor(slot / MODALITY_CODES_END) };
  }

  has(id: string): boolean {
    return this.#slots.has(id);
  }

  counts(): Counts {
    return forEachModality((modality) => this.segments[modality].live);
  }

  /** Applies a payload of the write-ahead log. @returns how many ids its deletes found */
  apply(payload: Uint8Array): number {
    let deleted = 0;
    for (const operation of decodeOperations(payload, this.dim)) {
      if (operation.kind === 'upsert') for (const item of operation.items) this.#upsert(item);
      else for (const id of operation.ids) deleted += this.#delete(id) ? 1 : 0;
    }
    return deleted;
  }

  #upsert({ id, modality, metadata, vector }: EncodedItem): void {
    this.#references.add(Buffer.from(metadata.buffer, metadata.byteOffset, metadata.length));
    const previous = this.find(id);
    if (previous === undefined) this.sortedIds.add(id);
    else this.#deleteRow(previous);
    this.#slots.set(id, toSlot(modality, this.segments[modality].add(id, vector, metadata)));
  }

  #delete(id: string): boolean {
    const location = this.find(id);
    if (location === undefined) return false;
    this.#deleteRow(location);
    this.#slots.delete(id);
    return true;
  }

  #deleteRow({ segment, row }: ItemLocation): void {
    if (!this.#references.isEmpty) this.#releaseFiles(segment, row);
    segment.delete(row);
  }

  /** The write is durable, so it cannot fail any more: files of a row that cannot be read stay until the next start. */
  #releaseFiles(segment: Segment, row: number): void {
    try {
      this.#released.push(...this.#references.remove(segment.metadata(row)));
    } catch {}
  }

  /** Whether any item refers to a kept file. */
  refersTo(file: string): boolean {
    return this.#references.has(file);
  }

  /** The kept files that lost their last reference since the previous call, and have not gained one. */
  takeReleased(): string[] {
    const released = this.#released.filter((file) => !this.#references.has(file));
    this.#released = [];
    return released;
  }

  /** The present state, for a snapshot; later changes do not touch it. */
  capture(lastSequence: number): CapturedCollection {
    return {
      dim: this.dim,
      lastSequence,
      segments: forEachModality((modality) => {
        const { rows, ids } = this.segments[modality];
        return { rows, ids: ids.slice() };
      }),
    };
  }

  /**
   * Serves from a snapshot just written, and keeps what changed since it was captured. Rows written since are
   * copied in slices that yield to the event loop; the replacement itself is one synchronous step per segment.
   * @throws the error of the disk; the segments before it are then served from the snapshot, the others as before
   */
  async install(captured: CapturedCollection, snapshots: Record<Modality, SnapshotRows>): Promise<void> {
    const waiting = new Set(Object.values(snapshots));
    try {
      for (const modality of MODALITIES) {
        await this.#installSegment(this.segments[modality], captured.segments[modality], snapshots[modality]);
        waiting.delete(snapshots[modality]);
      }
    } catch (error) {
      for (const rows of waiting) rows.close();
      throw error;
    }
  }

  async #installSegment(
    segment: Segment,
    { ids: capturedIds, rows: old }: CapturedSegment,
    snapshotRows: SnapshotRows,
  ): Promise<void> {
    assert(old === segment.rows, 'a snapshot of rows that are no longer served');
    // FAISS knows rows by position: its index stays unless a row moves.
    const index = capturedIds.includes(undefined)
      ? FlatIndex.read(snapshotRows.files.vectors, this.dim, snapshotRows.count)
      : undefined;
    const rows = new Rows(this.dim, snapshotRows);
    let copied = capturedIds.length;
    for (; old.count - copied > SLICE_ROWS; copied += SLICE_ROWS) {
      rows.appendFrom(old, copied, copied + SLICE_ROWS);
      await yieldToEventLoop();
    }
    rows.appendFrom(old, copied, old.count);
    this.#replaceRows(segment, capturedIds, rows, index);
    old.close();
  }

  /** Drops the tombstones of the captured state; rows deleted since then stay as tombstones. */
  #replaceRows(
    segment: Segment,
    capturedIds: readonly (string | undefined)[],
    rows: Rows,
    index: FlatIndex | undefined,
  ): void {
    const isKept = (row: number) => row >= capturedIds.length || capturedIds[row] !== undefined;
    const ids = segment.ids.filter((_, row) => isKept(row));
    assert(ids.length === rows.count, 'a snapshot with another number of rows than were captured');
    if (index !== undefined) {
      segment.payloadIndex.reorder(Uint32Array.from([...segment.ids.keys()].filter(isKept)));
      segment.replaceIndex(index);
      ids.forEach((id, row) => {
        if (id !== undefined) this.#slots.set(id, toSlot(segment.modality, row));
      });
    }
    segment.rows = rows;
    segment.ids = ids;
    segment.tombstones = ids.reduce((count, id) => count + (id === undefined ? 1 : 0), 0);
  }

  close(): void {
    for (const segment of Object.values(this.segments)) segment.rows.close();
  }
}

const toSlot = (modality: Modality, row: number): number => row * MODALITY_CODES_END + MODALITY_CODES[modality];
