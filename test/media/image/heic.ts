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

/** @param hevcMp4 an MP4 of one HEVC frame of `width x height`, not fragmented */
export function heicFrom(hevcMp4: Buffer, width: number, height: number): Buffer {
  const frame = payloadOf(hevcMp4, 'mdat');
  const ftyp = box('ftyp', ascii('heic'), u32(0), ascii('mif1heic'));
  const meta = (offset: number) =>
    fullBox(
      'meta',
      fullBox('hdlr', u32(0), ascii('pict'), Buffer.alloc(13)),
      fullBox('pitm', u16(1)),
      // Sizes of 4 bytes for offset and length, none for a base; one item in one piece.
      fullBox('iloc', u8(0x44, 0x00), u16(1, 1, 0, 1), u32(offset), u32(frame.length)),
      fullBox('iinf', u16(1), box('infe', u8(2, 0, 0, 0), u16(1, 0), ascii('hvc1\0'))),
      box(
        'iprp',
        box('ipco', box('hvcC', payloadOf(hevcMp4, 'hvcC')), fullBox('ispe', u32(width), u32(height))),
        fullBox('ipma', u32(1), u16(1), u8(2, 0x81, 0x02)),
      ),
    );
  const metaBytes = meta(0).length;
  return Buffer.concat([ftyp, meta(ftyp.length + metaBytes + 8), box('mdat', frame)]);
}
