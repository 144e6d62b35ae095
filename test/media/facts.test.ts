import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { mergeFacts } from '../../src/media/facts/facts.js';
import { FactsReader } from '../../src/media/facts/facts-reader.js';
import { placeOf } from '../../src/media/facts/places.js';
import { sidecarNames, takeoutFacts } from '../../src/media/facts/sidecar.js';
import { offsetBetween, timeOf, timeOfName } from '../../src/media/facts/times.js';
import { ffmpeg, makeVideo, receiveBytes, source, useFolder } from './support.js';

describe('times', () => {
  it.each([
    ['2019:06:01 12:34:56', undefined, '2019-06-01T12:34:56'],
    ['2019:06:01 12:34:56', '+02:00', '2019-06-01T12:34:56+02:00'],
    ['2019:06:01 12:34:56.25', '-0330', '2019-06-01T12:34:56-03:30'],
    ['2019-06-01T12:34:56+0200', undefined, '2019-06-01T12:34:56+02:00'],
    ['2019-06-01T12:34:56.000000Z', undefined, '2019-06-01T12:34:56Z'],
    ['1939:09:01', undefined, '1939-09-01T00:00:00'],
    ['0000:00:00 00:00:00', undefined, undefined],
    ['    :  :     :  :  ', undefined, undefined],
    ['2019:13:01 00:00:00', undefined, undefined],
    ['2019:02:30 00:00:00', undefined, undefined],
    ['2019:06:01 25:00:00', undefined, undefined],
    ['2019:06:01 12:00:00', '+99:00', '2019-06-01T12:00:00'],
    ['yesterday', undefined, undefined],
    [undefined, undefined, undefined],
  ])('reads %s %s', (text, offset, time) => {
    expect(timeOf(text, offset)).toBe(time);
  });

  it.each([
    ['IMG_20190601_123456.jpg', '2019-06-01T12:34:56'],
    ['VID_20190601_123456_1.mp4', '2019-06-01T12:34:56'],
    ['PXL_20190601_123456789.jpg', '2019-06-01T12:34:56Z'],
    ['20190601_123456.mp4', '2019-06-01T12:34:56'],
    ['2019-06-01 12.34.56.jpg', '2019-06-01T12:34:56'],
    ['Screenshot_20190601-123456_Maps.png', '2019-06-01T12:34:56'],
    ['WhatsApp Image 2019-06-01 at 12.34.56.jpeg', '2019-06-01T12:34:56'],
    ['signal-2019-06-01-12-34-56-789.jpg', '2019-06-01T12:34:56'],
    ['IMG-20190601-WA0012.jpg', '2019-06-01'],
    ['2019-06-01 birthday.jpg', '2019-06-01'],
    ['FB_IMG_1559392496123.jpg', '2019-06-01T12:34:56Z'],
    ['IMG_1234.jpg', undefined],
    ['DSC02019.JPG', undefined],
    ['20199901_000000.jpg', undefined],
    ['12345678901234567890.jpg', undefined],
    ['', undefined],
  ])('reads the name %s', (name, time) => {
    expect(timeOfName(name)).toBe(time);
  });

  it.each([
    ['2019-06-01T12:00:00', '2019-06-01T10:00:07Z', '+02:00'],
    ['2019-06-01T12:00:00', '2019-06-01T06:15:00Z', '+05:45'],
    ['2019-06-01T01:00:00', '2019-06-01T08:00:00Z', '-07:00'],
    ['2019-06-01T12:00:00', '2019-06-01T10:07:30Z', undefined],
    ['2019-06-01T12:00:00', '2018-06-01T10:00:00Z', undefined],
  ])('finds the offset of %s from %s', (local, utc, offset) => {
    expect(offsetBetween(local, utc)).toBe(offset);
  });
});

describe('sidecars', () => {
  it('of Google Takeout tell time, place, people and caption', () => {
    const json = {
      title: 'a.jpg',
      description: ' At the beach\u0000 ',
      photoTakenTime: { timestamp: '1559392496', formatted: 'x' },
      geoData: { latitude: 0, longitude: 0, altitude: 0 },
      geoDataExif: { latitude: 38.7, longitude: -9.1 },
      people: [{ name: 'Ana' }, { name: 'Ben' }, {}],
    };
    expect(takeoutFacts(JSON.stringify(json))).toEqual({
      taken_at: '2019-06-01T12:34:56Z',
      taken_at_from: 'takeout',
      latitude: 38.7,
      longitude: -9.1,
      caption: 'At the beach',
      keywords: ['Ana', 'Ben'],
    });
    for (const other of ['', '[]', 'null', '{"name":"package"}', '{"photoTakenTime":5}'])
      expect(takeoutFacts(other)).toEqual({});
  });

  it('have the names that programs give them', () => {
    expect(sidecarNames('photo.jpg')).toMatchObject({
      xmp: expect.arrayContaining(['photo.jpg.xmp', 'photo.xmp']),
      takeout: expect.arrayContaining(['photo.jpg.json', 'photo.jpg.supplemental-metadata.json']),
    });
    expect(sidecarNames('photo(1).jpg').takeout).toContain('photo.jpg(1).json');
  });
});

describe('what files say of themselves', () => {
  const folder = useFolder();
  const reader = new FactsReader(ffmpeg);
  afterAll(() => reader.close());
  const read = async (bytes: Uint8Array, filename?: string, around: Parameters<typeof reader.read>[1] = {}) => {
    const upload = await receiveBytes(bytes, folder.path);
    try {
      return await reader.read(upload, { filename, ...around });
    } finally {
      await upload.dispose();
    }
  };
  const photo = () => sharp({ create: { width: 64, height: 48, channels: 3, background: 'red' } });
  const EXIF = {
    IFD0: { Make: 'Canon', Model: 'Canon EOS R5', ImageDescription: 'OLYMPUS DIGITAL CAMERA' },
    IFD2: { DateTimeOriginal: '2019:06:01 12:34:56', OffsetTimeOriginal: '+02:00', LensModel: 'RF 50mm F1.2' },
    IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '38/1 42/1 0/1', GPSLongitudeRef: 'W', GPSLongitude: '9/1 6/1 0/1' },
  };
  const SAID = {
    taken_at: '2019-06-01T12:34:56+02:00',
    taken_at_from: 'exif',
    latitude: 38.7,
    longitude: -9.1,
    camera: 'Canon EOS R5',
    lens: 'RF 50mm F1.2',
    place: 'Alfama, Lisbon, Portugal',
    width: 64,
    height: 48,
  };

  it.each(['jpeg', 'png', 'webp', 'avif'] as const)('is read of %s', async (format) => {
    expect(await read(await photo().withExif(EXIF).toFormat(format).toBuffer())).toMatchObject(SAID);
  });

  /** The TIFF structure of a photo's EXIF, as raw files have it. */
  async function exifOf(): Promise<Buffer> {
    const jpeg = await photo().withExif(EXIF).jpeg().toBuffer();
    const start = jpeg.indexOf('Exif\0\0') + 6;
    return jpeg.subarray(start, start - 8 + jpeg.readUInt16BE(start - 8));
  }
  function box(name: string, content: Buffer): Buffer {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(content.length + 8);
    head.write(name, 4, 'latin1');
    return Buffer.concat([head, content]);
  }
  const withMagic = (tiff: Buffer, magic: string) => Buffer.concat([Buffer.from(magic, 'latin1'), tiff.subarray(4)]);
  const preview = () => photo().resize(200, 150).jpeg().toBuffer();
  const RAW: Record<string, () => Promise<Buffer>> = {
    'Panasonic RW2': async () => Buffer.concat([withMagic(await exifOf(), 'IIU\0'), await preview()]),
    'Olympus ORF': async () => Buffer.concat([withMagic(await exifOf(), 'IIRO'), await preview()]),
    'Canon CR3': async () =>
      Buffer.concat([
        box('ftyp', Buffer.from('crx \0\0\0\x01crx isom', 'latin1')),
        box('CMT1', await exifOf()),
        await preview(),
      ]),
    'Fujifilm RAF': async () =>
      Buffer.concat([
        Buffer.from('FUJIFILMCCD-RAW 0201'),
        await photo().resize(200, 150).withExif(EXIF).jpeg().toBuffer(),
      ]),
  };

  it.each(Object.keys(RAW))('is read of %s, of the size of its preview', async (name) => {
    const bytes = await RAW[name]?.();
    expect(await read(bytes as Buffer)).toMatchObject({ ...SAID, width: 200, height: 150 });
  });

  const XMP = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
      <rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">Two dogs</rdf:li></rdf:Alt></dc:description>
      <dc:subject><rdf:Bag><rdf:li>dog</rdf:li><rdf:li>beach</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>`;

  it('finds captions and keywords in XMP, in the file and beside it', async () => {
    const beside = {
      xmp: Buffer.from(
        XMP.replace('Two dogs', 'Edited later').replace(
          'xmlns:dc',
          'xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:DateTimeOriginal="2019-07-02T08:00:00+03:00" xmlns:dc',
        ),
      ),
    };
    expect(await read(await photo().withExif(EXIF).withXmp(XMP).jpeg().toBuffer(), '', { beside })).toMatchObject({
      ...SAID,
      caption: 'Edited later',
      keywords: ['dog', 'beach'],
      taken_at: '2019-07-02T08:00:00+03:00',
      taken_at_from: 'xmp',
    });
    expect(await read(await photo().withXmp(XMP).jpeg().toBuffer())).toMatchObject({
      caption: 'Two dogs',
      keywords: ['dog', 'beach'],
    });
  });

  it('is read of videos, the local time before that of the header', async () => {
    const tags = [
      ...['-metadata', 'creation_time=2019-06-01T10:34:56Z', '-metadata', 'location=+38.7000-009.1000/'],
      ...['-metadata', 'com.apple.quicktime.creationdate=2019-06-01T12:34:56+0200'],
      ...['-metadata', 'com.apple.quicktime.make=Apple', '-metadata', 'com.apple.quicktime.model=iPhone 12'],
    ];
    const bytes = await makeVideo(
      folder.path,
      'a.mov',
      ...source('testsrc', '64x48', 1),
      ...tags,
      '-movflags',
      'use_metadata_tags',
    );
    expect(await read(bytes)).toMatchObject({
      taken_at: '2019-06-01T12:34:56+02:00',
      taken_at_from: 'quicktime',
      latitude: 38.7,
      longitude: -9.1,
      camera: 'Apple iPhone 12',
    });
    const plain = await makeVideo(folder.path, 'b.mp4', ...source('testsrc', '64x48', 1));
    expect(await read(plain, 'holiday/VID_20190601_123456.mp4')).toEqual({
      taken_at: '2019-06-01T12:34:56',
      taken_at_from: 'name',
      width: 64,
      height: 48,
      duration: 1,
    });
  });

  it('takes the time when the file was changed where nothing else is known', async () => {
    const around = { modifiedMs: Date.UTC(2018, 0, 2, 3, 4, 5) };
    expect(await read(await photo().png().toBuffer(), 'a.png', around)).toMatchObject({
      taken_at: '2018-01-02T03:04:05Z',
      taken_at_from: 'modified',
    });
  });

  it('is nothing where nothing is said, or it is damaged', async () => {
    expect(await read(await photo().jpeg().toBuffer(), 'IMG_1234.jpg')).toEqual({ width: 64, height: 48 });
    const whole = await photo().withExif(EXIF).jpeg().toBuffer();
    for (let i = 0; i < 40; i++) {
      const damaged = Buffer.from(whole);
      for (let k = 0; k < 10; k++) damaged[20 + ((i * 37 + k * 101) % 400)] = (i * 7 + k * 13) % 256;
      const facts = await read(damaged);
      expect(JSON.stringify(facts).length).toBeLessThan(24 * 1024);
    }
  });

  it('counts by source: what comes first, in pairs that belong together', () => {
    expect(
      mergeFacts(
        { latitude: 1 },
        { taken_at: '2019-06-01', taken_at_from: 'name', latitude: 2, longitude: 3 },
        { taken_at: '2020-01-01', taken_at_from: 'modified', camera: 'x' },
      ),
    ).toEqual({ taken_at: '2019-06-01', taken_at_from: 'name', latitude: 2, longitude: 3, camera: 'x' });
  });
});

describe('the place of a position', () => {
  it.each([
    [46.02, 7.749, 'Zermatt, Valais, Switzerland'],
    [35.0116, 135.768, 'Kyoto, Japan'],
    [64.14, -21.94, 'Reykjavík, Capital Region, Iceland'],
    [-16.8, -179.98, 'Savusavu, Northern, Fiji'],
    [30, -40, undefined],
    [90, 0, undefined],
  ])('%s, %s is %s', (latitude, longitude, place) => {
    expect(placeOf(latitude, longitude)).toBe(place);
  });
});
