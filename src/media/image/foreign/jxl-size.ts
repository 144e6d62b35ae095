/** The size that a JPEG XL file states (ISO/IEC 18181-1, "SizeHeader"), so that it can be checked before anything is decoded. */

/** Reads bits, the lowest of each byte first. */
class Bits {
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, this.at++) {
      const byte = this.bytes[this.at >> 3];
      if (byte === undefined) throw new RangeError('the header is cut short');
      value += ((byte >> (this.at & 7)) & 1) * 2 ** i;
    }
    return value;
  }

  /** A length: two bits say how many follow. */
  length(): number {
    return 1 + this.read([9, 13, 18, 30][this.read(2)] as number);
  }
}

/** Width by height, for each of the codes 1 to 7. */
const RATIOS = [1, 12 / 10, 4 / 3, 3 / 2, 16 / 9, 5 / 4, 2];

/** @returns pixels across and down, as stored; undefined when the bytes are not a JPEG XL header */
export function jxlSize(bytes: Uint8Array): { width: number; height: number } | undefined {
  const codestream = codestreamOf(bytes);
  if (codestream?.[0] !== 0xff || codestream[1] !== 0x0a) return undefined;
  const bits = new Bits(codestream.subarray(2, 64));
  try {
    const isSmall = bits.read(1) === 1;
    const length = () => (isSmall ? 8 * (1 + bits.read(5)) : bits.length());
    const height = length();
    const ratio = bits.read(3);
    return { width: ratio === 0 ? length() : Math.floor(height * (RATIOS[ratio - 1] as number)), height };
  } catch {
    return undefined;
  }
}

/** The codestream itself: bare, or in the first box that has it. */
function codestreamOf(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] === 0xff) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 16 <= bytes.length; ) {
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const stated = view.getUint32(at);
    const header = stated === 1 ? 16 : 8;
    if (type === 'jxlc') return bytes.subarray(at + header);
    // Four bytes number the part.
    if (type === 'jxlp') return bytes.subarray(at + header + 4);
    const size = stated === 1 ? Number(view.getBigUint64(at + 8)) : stated;
    if (size < header) return undefined;
    at += size;
  }
  return undefined;
}
