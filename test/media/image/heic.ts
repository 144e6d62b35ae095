/** Builds a valid HEIC file from one HEVC frame: the encoders of the tests do not write the container. */

const ascii = (text: string) => Buffer.from(text, 'latin1');
const u8 = (...values: number[]) => Buffer.from(values);
const u16 = (...values: number[]) => Buffer.concat(values.map((value) => Buffer.from([value >> 8, value & 255])));
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** An ISO base media box: length, four-letter type, content. */
function box(type: string, ...content: Buffer[]): Buffer {
  const payload = Buffer.concat(content);
  return Buffer.concat([u32(payload.length + 8), ascii(type), payload]);
}

const fullBox = (type: string, ...content: Buffer[]) => box(type, u32(0), ...content);

/** The payload of the first box of `type` anywhere in `file`. */
function payloadOf(file: Buffer, type: string): Buffer {
  const start = file.indexOf(type, 0, 'latin1');
  return file.subarray(start + 4, start - 4 + file.readUInt32BE(start - 4));
}

interface HeifItem {
  /** Four letters: `hvc1` a coded picture, `grid` one that is put together from others. */
  type: string;
  content: Buffer;
  /** Indexes of its properties, from 1; with the highest bit those without which it cannot be shown. */
  properties: number[];
  /** Items that it is put together from. */
  parts?: number[];
}

/** A file of items, numbered from 1; the last one is the picture. */
function heif(items: readonly HeifItem[], properties: readonly Buffer[]): Buffer {
  const ftyp = box('ftyp', ascii('heic'), u32(0), ascii('mif1heic'));
  const primary = items.length;
  const meta = (start: number) => {
    let offset = start;
    const places = items.map(({ content }, i) => {
      const place = Buffer.concat([u16(i + 1, 0, 1), u32(offset), u32(content.length)]);
      offset += content.length;
      return place;
    });
    const infos = items.map(({ type }, i) =>
      // Parts are hidden.
      box('infe', u8(2, 0, 0, i + 1 === primary ? 0 : 1), u16(i + 1, 0), ascii(`${type}\0`)),
    );
    const references = items.flatMap(({ parts = [] }, i) =>
      parts.length === 0 ? [] : [box('dimg', u16(i + 1, parts.length, ...parts))],
    );
    const uses = items.map(({ properties: used }, i) => Buffer.concat([u16(i + 1), u8(used.length, ...used)]));
    return fullBox(
      'meta',
      fullBox('hdlr', u32(0), ascii('pict'), Buffer.alloc(13)),
      fullBox('pitm', u16(primary)),
      // Sizes of 4 bytes for offset and length, none for a base; each item in one piece.
      fullBox('iloc', u8(0x44, 0x00), u16(items.length), ...places),
      fullBox('iinf', u16(items.length), ...infos),
      ...(references.length === 0 ? [] : [fullBox('iref', ...references)]),
      box('iprp', box('ipco', ...properties), fullBox('ipma', u32(items.length), ...uses)),
    );
  };
  const start = ftyp.length + meta(0).length + 8;
  return Buffer.concat([ftyp, meta(start), box('mdat', ...items.map(({ content }) => content))]);
}

const sizeBox = (width: number, height: number) => fullBox('ispe', u32(width), u32(height));

/** @param hevcMp4 an MP4 of one HEVC frame of `width x height`, not fragmented */
export function heicFrom(hevcMp4: Buffer, width: number, height: number): Buffer {
  const picture = { type: 'hvc1', content: payloadOf(hevcMp4, 'mdat'), properties: [0x81, 2] };
  return heif([picture], [box('hvcC', payloadOf(hevcMp4, 'hvcC')), sizeBox(width, height)]);
}

/**
 * A picture as telephones store it: tiles that are coded each by itself, put together, cut to size and turned.
 * @param tiles MP4s of one HEVC frame each, row by row, by the same encoder
 */
export function heicOfTiles(
  tiles: readonly Buffer[],
  shape: { columns: number; tile: [width: number, height: number]; size: [width: number, height: number] },
  quarterTurns: number,
): Buffer {
  const { columns, tile, size } = shape;
  const grid = Buffer.concat([u8(0, 0, tiles.length / columns - 1, columns - 1), u16(...size)]);
  return heif(
    [
      ...tiles.map((one) => ({ type: 'hvc1', content: payloadOf(one, 'mdat'), properties: [0x81, 2] })),
      { type: 'grid', content: grid, properties: [3, 0x84], parts: tiles.map((_, i) => i + 1) },
    ],
    [
      box('hvcC', payloadOf(tiles[0] as Buffer, 'hvcC')),
      sizeBox(...tile),
      sizeBox(...size),
      box('irot', u8(quarterTurns)),
    ],
  );
}
