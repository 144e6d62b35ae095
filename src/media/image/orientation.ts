import type { Size } from '../frame.js';

/**
 * EXIF orientation: how stored pixels lie to the picture as it is seen (Exif 2.32, tag 0x0112). sharp turns stills itself,
 * and stacks the pages of an animation without turning them.
 */

const isQuarterTurn = (orientation: number): boolean => orientation >= 5 && orientation <= 8;

/** The size in which a picture that is seen as `size` is stored, and the other way round. */
export const storedSize = ({ width, height }: Size, orientation: number): Size =>
  isQuarterTurn(orientation) ? { width: height, height: width } : { width, height };

/** For each orientation whether the stored row, and the stored column, is counted from the other end. */
const FLIPS: Record<number, readonly [rows: boolean, columns: boolean]> = {
  1: [false, false],
  2: [false, true],
  3: [true, true],
  4: [true, false],
  5: [false, false],
  6: [true, false],
  7: [true, true],
  8: [false, true],
};

/** @param rgb stored pixels of `stored` size, three bytes each @returns the picture as it is seen */
export function turnUpright(rgb: Uint8Array, stored: Size, orientation: number): Uint8Array {
  const [rowsFlipped, columnsFlipped] = FLIPS[orientation] ?? [false, false];
  if (!rowsFlipped && !columnsFlipped && !isQuarterTurn(orientation)) return rgb;
  const { width, height } = storedSize(stored, orientation);
  const upright = new Uint8Array(rgb.length);
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++, to += 3) {
      const [row, column] = isQuarterTurn(orientation) ? [x, y] : [y, x];
      const fromRow = rowsFlipped ? stored.height - 1 - row : row;
      const fromColumn = columnsFlipped ? stored.width - 1 - column : column;
      const from = 3 * (fromRow * stored.width + fromColumn);
      upright[to] = rgb[from] as number;
      upright[to + 1] = rgb[from + 1] as number;
      upright[to + 2] = rgb[from + 2] as number;
    }
  return upright;
}
