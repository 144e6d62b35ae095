import { describe, expect, it } from 'vitest';
import { describeRefused, detect } from '../../src/media/detect-format.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');
/** An ftyp box of these brands. */
const ftyp = (major: string, ...compatible: string[]) => {
  const box = bytes(`\0\0\0\0ftyp${major}\0\0\0\0${compatible.join('')}`);
  box.writeUInt32BE(box.length);
  return Buffer.concat([box, bytes('\0\0\0\x08mdat')]);
};

describe('detect', () => {
  it.each([
    ['mp4', ftyp('isom', 'isom', 'iso2', 'avc1', 'mp41')],
    ['mp4', ftyp('mp42')],
    ['mp4', ftyp('XXXX', 'isom')],
    ['mov', ftyp('qt  ', 'qt  ')],
    ['mov', bytes('\0\0\0\x08wide\0\0\0\0mdat')],
    ['mov', bytes('\0\0\0\x08skip\0\0\0\x14ftypqt  ')],
    ['mov', bytes('\0\0\x10\0free')],
    ['avif', ftyp('avif', 'mif1', 'miaf')],
    ['avif', ftyp('mif1', 'avif', 'miaf')],
    ['heic', ftyp('mif1', 'heic')],
    ['heic', ftyp('heic', 'mif1')],
    ['webm', bytes('\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm')],
    ['mkv', bytes('\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska')],
    ['avi', bytes('RIFF\x10\0\0\0AVI LIST')],
    ['mpegts', Buffer.concat(Array(5).fill(Buffer.alloc(188, 'G')))],
    ['mpegts', Buffer.concat(Array(5).fill(Buffer.from(`\0\0\0\0G${'\0'.repeat(187)}`)))],
    ['mpeg', bytes('\0\0\x01\xba\x44')],
    ['asf', bytes('\x30\x26\xb2\x75\x8e\x66\xcf\x11')],
    ['flv', bytes('FLV\x01\x05')],
    ['ogg', bytes('OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x2a\x80theora')],
    ['webp', bytes('RIFF\x10\0\0\0WEBPVP8 ')],
    ['tiff', bytes('MM\0*\0\0\0\x08')],
  ])('recognises %s by its first bytes', (format, head) => {
    expect(detect(head)?.format).toBe(format);
  });

  it.each([
    ['an SVG drawing', '<?xml version="1.0"?><!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['a PDF document', '%PDF-1.7'],
    ['a playlist', '#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd'],
    ['a playlist', 'ffconcat version 1.0\nfile /etc/passwd'],
    ['a ZIP archive or an Office document', 'PK\x03\x04'],
    ['an HTML page', '<!DOCTYPE html><html>'],
    ['text', 'a plain sentence'],
    ['an audio file', 'RIFF\x10\0\0\0WAVEfmt '],
    ['an Ogg file without video', 'OggS\0\x02 ... \x01vorbis'],
    ['an unknown format', '\0\x01\x02'],
    ['an unknown format', ''],
  ])('refuses %s', (name, text) => {
    expect(detect(bytes(text))).toBeUndefined();
    expect(describeRefused(bytes(text))).toBe(name);
  });

  it('refuses ISO media files of unknown brands', () => {
    expect(detect(ftyp('jp2 '))).toBeUndefined();
  });
});
