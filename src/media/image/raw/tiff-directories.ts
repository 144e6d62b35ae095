/** The few tags of a TIFF directory that tell what its image is. */
export interface TiffDirectory {
  /** Tag -> its values, as far as they are whole numbers. */
  tags: ReadonlyMap<number, readonly number[]>;
}

export const TAG = {
  compression: 0x103,
  photometric: 0x106,
  orientation: 0x112,
  subDirectories: 0x14a,
  cfaPattern: 0x828e,
  dngVersion: 0xc612,
} as const;

/** More directories than any camera writes. */
const MAX_DIRECTORIES = 32;
const MAX_ENTRIES = 512;
const MAX_VALUES = 32;

/** Bytes of a value by its type: BYTE, SHORT, LONG and IFD; others are not read. */
const READERS: Readonly<Record<number, [bytes: number, read: 'getUint8' | 'getUint16' | 'getUint32']>> = {
  1: [1, 'getUint8'],
  3: [2, 'getUint16'],
  4: [4, 'getUint32'],
  13: [4, 'getUint32'],
};

/**
 * The directories of a TIFF file and of the raw files that are built like one: the main ones in their order, each followed by
 * those below it. What is damaged is left out.
 * Source: TIFF 6.0, section 2; Adobe's supplement 1 (SubIFDs).
 */
export function tiffDirectories(bytes: Uint8Array): TiffDirectory[] {
  const found: TiffDirectory[] = [];
  if (bytes.length < 8) return found;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isLittle = view.getUint16(0) === 0x4949;
  const seen = new Set<number>();
  const waiting = [view.getUint32(4, isLittle)];
  while (waiting.length > 0 && found.length < MAX_DIRECTORIES) {
    const at = waiting.shift() as number;
    if (at === 0 || seen.has(at) || at + 2 > bytes.length) continue;
    seen.add(at);
    const count = Math.min(view.getUint16(at, isLittle), MAX_ENTRIES);
    const end = at + 2 + 12 * count;
    if (end > bytes.length) continue;
    const tags = new Map<number, readonly number[]>();
    for (let entry = at + 2; entry < end; entry += 12)
      tags.set(view.getUint16(entry, isLittle), valuesAt(view, entry, isLittle));
    found.push({ tags });
    const next = end + 4 <= bytes.length ? view.getUint32(end, isLittle) : 0;
    waiting.unshift(...(tags.get(TAG.subDirectories) ?? []), next);
  }
  return found;
}

function valuesAt(view: DataView, entry: number, isLittle: boolean): number[] {
  const [bytes, read] = READERS[view.getUint16(entry + 2, isLittle)] ?? [0, 'getUint8'];
  const count = bytes === 0 ? 0 : Math.min(view.getUint32(entry + 4, isLittle), MAX_VALUES);
  const at = count * bytes <= 4 ? entry + 8 : view.getUint32(entry + 8, isLittle);
  if (at + count * bytes > view.byteLength) return [];
  return Array.from({ length: count }, (_, i) => view[read](at + i * bytes, isLittle));
}
