import { type Database, open, type RootDatabase } from 'lmdb';

/** How a value of the cache lies on disk. */
export interface Codec<Value> {
  encode(value: Value): Buffer;
  /** @returns undefined for bytes that are not a value of this version */
  decode(bytes: Buffer): Value | undefined;
}

/** Bytes of LMDB's pages around a record, roughly. */
const RECORD_OVERHEAD_BYTES = 100;
const GENERATIONS = ['even', 'odd'] as const;

interface Generation {
  records: Database<Buffer, string>;
  bytes: number;
}

/**
 * The part of a cache that outlives the process: a memory-mapped LMDB file. Records live in two generations;
 * when the younger one holds half of what is allowed, the older one goes. What is used moves to the younger, so
 * what has not been used for long is what goes: nearly LRU, without a write for every read.
 */
export class ColdCache<Value> {
  private constructor(
    private readonly root: RootDatabase,
    private young: Generation,
    private old: Generation,
    private readonly maxBytes: number,
    private readonly codec: Codec<Value>,
  ) {}

  /** Opens or makes the cache in `folder`. A cache is for one process at a time. */
  static open<Value>(folder: string, maxBytes: number, codec: Codec<Value>): ColdCache<Value> {
    // Losing the last writes in a crash costs a recomputation, nothing else: no need to wait for the disk.
    const root = open({ path: folder, encoding: 'binary', noSync: true, maxDbs: GENERATIONS.length });
    const [first, second] = GENERATIONS.map((name) =>
      measured(root.openDB<Buffer, string>({ name, encoding: 'binary' })),
    );
    const [young, old] =
      (first as Generation).bytes >= (second as Generation).bytes ? [second, first] : [first, second];
    return new ColdCache(root, young as Generation, old as Generation, maxBytes, codec);
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

  /** Written in the background, in batches; readable once `written` resolves. */
  set(key: string, value: Value): void {
    const record = this.codec.encode(value);
    const bytes = record.length + key.length + RECORD_OVERHEAD_BYTES;
    if (2 * bytes > this.maxBytes) return;
    if (this.young.bytes + bytes > this.maxBytes / 2) this.turnOver();
    this.young.bytes += bytes;
    void this.young.records.put(key, record);
  }

  /** Resolves when what was set before can be read. */
  async written(): Promise<void> {
    await this.root.committed;
  }

  async close(): Promise<void> {
    await this.root.flushed;
    await this.root.close();
  }

  private turnOver(): void {
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
