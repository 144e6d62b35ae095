import { MAX_ID_BYTES } from '../../../common/item-id.js';
import { MODALITY_CODES, modalityOfCode } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { LIMITS } from '../../limits.js';
import type { EncodedItem } from '../../validate.js';
import { NewerFormatError } from '../newer-format.js';

const KIND = { upsert: 1, delete: 2 } as const;
const HEAD_BYTES = 8; // kind u32, count u32
const ITEM_HEAD_BYTES = 8; // modality u16, id bytes u16, metadata bytes u32

export type Operation = { kind: 'upsert'; items: EncodedItem[] } | { kind: 'delete'; ids: string[] };

/** The bytes of an upsert: what the write-ahead log holds and `decodeOperations` reads. */
export function encodeUpsert(items: readonly EncodedItem[]): Uint8Array<ArrayBuffer> {
  const ids = items.map(({ id }) => Buffer.from(id));
  const bytes = items.reduce(
    (sum, item, i) => sum + ITEM_HEAD_BYTES + (ids[i]?.length ?? 0) + item.metadata.length + item.vector.length,
    HEAD_BYTES,
  );
  const writer = new Writer(bytes);
  writer.u32(KIND.upsert).u32(items.length);
  items.forEach((item, i) => {
    const id = ids[i] as Buffer;
    if (id.length > MAX_ID_BYTES || item.metadata.length > LIMITS.metadataBytes)
      throw new Error('index: an item over its limits');
    writer.u16(MODALITY_CODES[item.modality]).u16(id.length).u32(item.metadata.length);
    writer.bytes(id).bytes(item.metadata).bytes(item.vector);
  });
  return writer.done();
}

/** The bytes of a delete. */
export function encodeDelete(ids: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoded = ids.map((id) => Buffer.from(id));
  const writer = new Writer(encoded.reduce((sum, id) => sum + 2 + id.length, HEAD_BYTES));
  writer.u32(KIND.delete).u32(ids.length);
  for (const id of encoded) writer.u16(id.length).bytes(id);
  return writer.done();
}

export const isUpsert = (payload: Uint8Array): boolean => new Reader(payload).u32() === KIND.upsert;

/**
 * The operations of a payload, in order. Metadata and vectors are views into it.
 * @throws NewerFormatError for operations that this version does not know
 * @throws Error when the bytes are not what the encoders write
 */
export function* decodeOperations(payload: Uint8Array, dim: number): Generator<Operation> {
  const reader = new Reader(payload);
  while (!reader.atEnd) {
    const kind = reader.u32();
    const count = reader.u32();
    if (kind === KIND.upsert) yield { kind: 'upsert', items: times(count, () => readItem(reader, dim)) };
    else if (kind === KIND.delete) yield { kind: 'delete', ids: times(count, () => reader.text(reader.u16())) };
    else
      throw new NewerFormatError(
        `the write-ahead log has operations of kind ${kind}, which this version does not know`,
      );
  }
}

function readItem(reader: Reader, dim: number): EncodedItem {
  const code = reader.u16();
  const modality = modalityOfCode(code);
  const idBytes = reader.u16();
  const metadataBytes = reader.u32();
  if (modality === undefined)
    throw new NewerFormatError(
      `the write-ahead log has items of modality code ${code}, which this version does not know`,
    );
  assert(idBytes <= MAX_ID_BYTES && metadataBytes <= LIMITS.metadataBytes, 'a stored item over its limits');
  const id = reader.text(idBytes);
  return { id, modality, metadata: reader.bytes(metadataBytes), vector: reader.bytes(4 * dim) };
}

const times = <T>(count: number, make: () => T): T[] => {
  const made: T[] = [];
  for (let i = 0; i < count; i++) made.push(make());
  return made;
};

class Writer {
  readonly #buffer: Buffer<ArrayBuffer>;
  #at = 0;

  constructor(bytes: number) {
    // Not a slice of Node's pool: the buffer is transferred to another thread.
    this.#buffer = Buffer.from(new ArrayBuffer(bytes));
  }

  u16(value: number): this {
    this.#at = this.#buffer.writeUInt16LE(value, this.#at);
    return this;
  }

  u32(value: number): this {
    this.#at = this.#buffer.writeUInt32LE(value, this.#at);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  done(): Uint8Array<ArrayBuffer> {
    if (this.#at !== this.#buffer.length) throw new Error('index: an operation of another size than computed');
    return this.#buffer;
  }
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#buffer.length;
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#advance(2));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#advance(4));
  }

  bytes(length: number): Uint8Array {
    const from = this.#advance(length);
    return this.#buffer.subarray(from, from + length);
  }

  text(length: number): string {
    const from = this.#advance(length);
    return this.#buffer.toString('utf8', from, from + length);
  }

  #advance(length: number): number {
    const from = this.#at;
    assert(from + length <= this.#buffer.length, 'an operation that is cut short');
    this.#at = from + length;
    return from;
  }
}
