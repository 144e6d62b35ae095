import { describe, expect, it } from 'vitest';
import { acceptedFormats, MEDIA_EXTENSIONS } from '../../src/media/formats.js';

describe('the table of formats', () => {
  it('gives the sentence of the accepted formats', () => {
    expect(acceptedFormats()).toBe(
      'a JPEG, PNG, WebP, AVIF, HEIC, GIF, JPEG XL, BMP, raw or TIFF image, or an MP4, MOV, WebM, MKV, AVI, MPEG-TS, MPEG, Windows Media, Flash or Ogg video',
    );
  });

  it('gives the file name extensions, several of one format included', () => {
    expect(MEDIA_EXTENSIONS).toEqual(expect.arrayContaining(['jpg', 'jpeg', 'tif', 'tiff', 'mp4', 'm4v', 'mkv']));
    expect(new Set(MEDIA_EXTENSIONS).size).toBe(MEDIA_EXTENSIONS.length);
  });
});
