/** A segment of a JPEG file (ITU-T T.81, annex B). */
export interface JpegSegment {
  marker: number;
  /** Place of its content, after marker and length. */
  at: number;
  /** Place after its content. */
  end: number;
}

export const MARKER = { soi: 0xd8, eoi: 0xd9, sos: 0xda, app1: 0xe1, app13: 0xed } as const;
const FIRST_MARKER = 0xc0;

/**
 * The segments of a JPEG before its pixels, and the one that begins them, in order; ends early where the file is damaged.
 * @param start place of the file's first byte
 */
export function* jpegSegments(file: Buffer, start = 0): Generator<JpegSegment> {
  let at = start + 2;
  while (at + 4 <= file.length && file[at] === 0xff) {
    const marker = file[at + 1] as number;
    // Any number of fill bytes may stand before a marker.
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const length = file.readUInt16BE(at + 2);
    if (marker < FIRST_MARKER || marker === MARKER.soi || marker === MARKER.eoi || length < 2) return;
    yield { marker, at: at + 4, end: at + 2 + length };
    if (marker === MARKER.sos) return;
    at += 2 + length;
  }
}

/** The beginning of a JPEG file that holds its metadata; nothing where it has none. */
export function jpegMetadata(bytes: Uint8Array): Uint8Array | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = 0;
  let hasMetadata = false;
  for (const segment of jpegSegments(file)) {
    hasMetadata ||= segment.marker === MARKER.app1 || segment.marker === MARKER.app13;
    end = segment.end;
  }
  return hasMetadata ? bytes.subarray(0, Math.min(end, bytes.length)) : undefined;
}
