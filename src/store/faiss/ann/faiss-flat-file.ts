/**
 * The file format of a FAISS `IndexFlatIP`, written without FAISS: faiss-node's `write` ends the process when the
 * disk is full, and its `toBuffer` leaks. Any FAISS reads the file.
 *
 *   "IxFI" | dim i32 | rows i64 | 2 x i64 unused | trained u8 | metric i32 (0: inner product) | floats u64 | floats
 *
 * Source: write_index_header and IndexFlat in faiss/impl/index_write.cpp (1.7).
 */
export const FLAT_HEADER_BYTES = 45;
/** What FAISS itself writes into the two unused fields. */
const UNUSED = BigInt(1 << 20);

export function flatHeader(dim: number, rows: number): Buffer {
  const header = Buffer.alloc(FLAT_HEADER_BYTES);
  header.write('IxFI', 0, 'latin1');
  header.writeInt32LE(dim, 4);
  header.writeBigInt64LE(BigInt(rows), 8);
  header.writeBigInt64LE(UNUSED, 16);
  header.writeBigInt64LE(UNUSED, 24);
  header.writeUInt8(1, 32);
  header.writeInt32LE(0, 33);
  header.writeBigUInt64LE(BigInt(rows * dim), 37);
  return header;
}

/** Byte at which a row's floats start. */
export const flatRowOffset = (dim: number, row: number): number => FLAT_HEADER_BYTES + 4 * dim * row;
