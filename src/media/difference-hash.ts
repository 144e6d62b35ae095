import type { Frame } from './frame.js';

const COLUMNS = 9;
const ROWS = 8;
/** Of a pixel's colours in its brightness (ITU-R BT.601). */
const WEIGHTS = [0.299, 0.587, 0.114] as const;

/**
 * A number that pictures share which look alike, whatever their size and compression: whether each of 8 x 8 fields is
 * brighter than its right neighbour. Two of the same picture differ in a few of its 64 bits.
 * Source: N. Krawetz, "Kind of Like That" (2013), dHash.
 * @returns 16 hexadecimal digits
 */
export function differenceHash(frame: Frame): string {
  const fields = brightness(frame);
  let hash = 0n;
  for (let row = 0; row < ROWS; row++)
    for (let column = 0; column + 1 < COLUMNS; column++) {
      const at = row * COLUMNS + column;
      hash = (hash << 1n) | ((fields[at] as number) > (fields[at + 1] as number) ? 1n : 0n);
    }
  return hash.toString(16).padStart(16, '0');
}

/** The mean brightness of 9 x 8 fields of a frame, row by row. */
function brightness({ width, height, rgb }: Frame): Float64Array {
  const [red, green, blue] = WEIGHTS;
  const sums = new Float64Array(COLUMNS * ROWS);
  const counts = new Float64Array(COLUMNS * ROWS);
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * ROWS) / height) * COLUMNS;
    for (let x = 0; x < width; x++) {
      const field = row + Math.floor((x * COLUMNS) / width);
      const at = 3 * (y * width + x);
      sums[field] =
        (sums[field] as number) +
        red * (rgb[at] as number) +
        green * (rgb[at + 1] as number) +
        blue * (rgb[at + 2] as number);
      counts[field] = (counts[field] as number) + 1;
    }
  }
  return sums.map((sum, i) => sum / Math.max(1, counts[i] as number));
}

/** In how many bits two hashes differ. */
export function hashDistance(a: string, b: string): number {
  let difference = BigInt(`0x${a}`) ^ BigInt(`0x${b}`);
  let count = 0;
  for (; difference > 0n; difference >>= 1n) count += Number(difference & 1n);
  return count;
}

/** Whether a text is such a hash. */
export const isHash = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{16}$/.test(value);
