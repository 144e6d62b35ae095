import { type Database, open, type RootDatabase } from 'lmdb';
import { MODALITY_CODES, modalityOfCode } from '../common/modality.js';
import type { Embedding } from './embedding.js';

/** The format of a cached value on disk. */
export interface Codec<Value> {
  encode(value: Value): Buffer;
  /** @returns undefined for bytes of another version of the format */
  decode(bytes: Buffer): Value | undefined;
}

const FORMAT = 1;
const HEADER_BYTES = 8;

/** Format u8, modality u8, truncated u8, one unused byte, tokens u32 little-endian, then the vector as float32. */
export const embeddingCodec: Codec<Embedding> = {
  encode({ vector, modality, tokens, truncated }) {
    const record = Buffer.alloc(HEADER_BYTES + vector.byteLength);
    record.set([FORMAT, MODALITY_CODES[modality], truncated ? 1 : 0]);
    record.writeUInt32LE(tokens, 4);
    record.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), HEADER_BYTES);
    return record;
  },

  decode(record) {
    const modality = modalityOfCode(record[1] ?? -1);
    if (record[0] !== FORMAT || modality === undefined) return undefined;
    // A copy: the record is in LMDB's memory map, and a Float32Array must start at a multiple of four.
    const bytes = Uint8Array.prototype.slice.call(record, HEADER_BYTES);
    const vector = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    return { vector, modality, tokens: record.readUInt32LE(4), truncated: record[2] === 1 };
  },
};

/** Rough size of LMDB's own data around a record. */
const RECORD_OVERHEAD_BYTES = 100;
const GENERATIONS = ['even', 'odd'] as const;

interface Generation {
  records: Database<Buffer, string>;
  bytes: number;
}

/**
 * The part of the cache that survives a restart: a memory-mapped LMDB file. Records are in two generations; when the
 * younger holds half of the allowed bytes, the older one is dropped and becomes the younger. A record that is read
 * moves to the younger one, so records that are no longer used are dropped: nearly LRU, without a write per read.
 */
export class DiskCache<Value> {
  private constructor(
    private readonly root: RootDatabase,
    private young: Generation,
    private old: Generation,
    private readonly maxBytes: number,
    private readonly codec: Codec<Value>,
  ) {}

  /** Opens or creates the cache in `folder`. One process at a time may have it open. */
  static open<Value>(folder: string, maxBytes: number, codec: Codec<Value>): DiskCache<Value> {
    // A crash may lose the last writes; that costs a recomputation, so no write waits for the disk.
    const root = open({ path: folder, encoding: 'binary', noSync: true, maxDbs: GENERATIONS.length });
    const [first, second] = GENERATIONS.map((name) =>
      measured(root.openDB<Buffer, string>({ name, encoding: 'binary' })),
    );
    const [young, old] =
      (first as Generation).bytes >= (second as Generation).bytes ? [second, first] : [first, second];
    return new DiskCache(root, young as Generation, old as Generation, maxBytes, codec);
  }

  get bytes(): number {
    return this.young.bytes + this.old.bytes;
  }

  get(key: string): Value | undefined {
    const young = this.young.records.get(key);
    if (young !== undefined) return this.codec.decode(young);
    const old = this.old.records.get(key);
    const value = old === undefined ? undefined : this.codec.decode(old);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /** Written in the background, in batches; readable when `written` resolves. */
  set(key: string, value: Value): void {
    const record = this.codec.encode(value);
    const bytes = record.length + key.length + RECORD_OVERHEAD_BYTES;
    if (2 * bytes > this.maxBytes) return;
    if (this.young.bytes + bytes > this.maxBytes / 2) this.dropOlder();
    this.young.bytes += bytes;
    void this.young.records.put(key, record);
  }

  /** Resolves when everything set before can be read. */
  async written(): Promise<void> {
    await this.root.committed;
  }

  async close(): Promise<void> {
    await this.root.flushed;
    await this.root.close();
  }

  private dropOlder(): void {
    [this.young, this.old] = [this.old, this.young];
    void this.young.records.clearAsync();
    this.young.bytes = 0;
  }
}

function measured(records: Database<Buffer, string>): Generation {
  let bytes = 0;
  for (const { key, value } of records.getRange()) bytes += key.length + value.length + RECORD_OVERHEAD_BYTES;
  return { records, bytes };
}
