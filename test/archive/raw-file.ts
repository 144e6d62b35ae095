import { randomBytes } from 'node:crypto';

export type Entry = [tag: number, type: 1 | 3 | 4, value: number];

/** A TIFF structure: a directory of the main image with one below it, then what else the file holds. */
export function tiff(magic: string, main: readonly Entry[], below: readonly Entry[], ...content: Buffer[]): Buffer {
  const directory = (entries: readonly Entry[]) => {
    const bytes = Buffer.alloc(2 + 12 * entries.length + 4);
    bytes.writeUInt16LE(entries.length);
    for (const [i, [tag, type, value]] of entries.entries()) {
      const at = 2 + 12 * i;
      bytes.writeUInt16LE(tag, at);
      bytes.writeUInt16LE(type, at + 2);
      bytes.writeUInt32LE(1, at + 4);
      if (type === 4) bytes.writeUInt32LE(value, at + 8);
      else bytes.writeUInt16LE(value, at + 8);
    }
    return bytes;
  };
  const header = Buffer.alloc(16);
  header.write(magic, 'latin1');
  header.writeUInt32LE(16, 4);
  const first = directory([...main, [0x14a, 4, 16 + 2 + 12 * (main.length + 1) + 4]]);
  return Buffer.concat([header, first, directory(below), ...content]);
}

/** What says that an image is of a sensor. */
export const SENSOR: readonly Entry[] = [[0x106, 3, 32803]];

/** As a sensor's values are: bytes of all kinds, and now and then what begins like a JPEG. */
export const sensorValues = (): Buffer =>
  Buffer.concat([randomBytes(200_000), Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 1]), randomBytes(999)]);
