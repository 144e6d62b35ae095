import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { detect } from '../../../src/media/detect-format.js';
import { type Entry, SENSOR, sensorValues, tiff } from '../../archive/raw-file.js';
import { codeOf, decodeBytes, receiveBytes, sides, useFolder } from '../support.js';

/** Red above blue, 480 x 320: what the sensor saw when the camera was held as `orientation` says. */
const preview = (width = 480, height = 320) =>
  sharp({ create: { width, height, channels: 3, background: 'red' } })
    .composite([
      {
        input: { create: { width, height: height / 2, channels: 3, background: 'blue' } },
        gravity: 'south',
      },
    ])
    .jpeg({ quality: 95 })
    .toBuffer();

describe('raw files of cameras', () => {
  const folder = useFolder();
  const turned = (orientation: number): Entry[] => [[0x112, 3, orientation]];

  it('are recognised by their makers marks, and those that look like TIFF by what is in them', async () => {
    const kinds = {
      'II*\0\x10\0\0\0CR': 'raw',
      IIRO: 'raw',
      'IIU\0': 'raw',
      'FUJIFILMCCD-RAW ': 'raw',
      '\0\0\0\x18ftypcrx \0\0\0\x01crx isom': 'raw',
    };
    for (const [head, format] of Object.entries(kinds))
      expect(detect(Buffer.from(head.padEnd(64, '\0'), 'latin1')), head).toEqual({ modality: 'image', format });
    const formatOf = async (bytes: Buffer) => (await receiveBytes(bytes, folder.path)).format;
    expect(await formatOf(tiff('II*\0', [], SENSOR, await preview()))).toBe('raw');
    expect(await formatOf(tiff('II*\0', [[0xc612, 1, 1]], [], await preview()))).toBe('raw');
    const plain = await sharp(await preview())
      .tiff({ compression: 'jpeg' })
      .toBuffer();
    expect(await formatOf(plain)).toBe('tiff');
  });

  it('are shown by their largest preview, turned as the camera was held', async () => {
    const files = [await preview(160, 120), sensorValues(), await preview(), sensorValues(), await preview(240, 160)];
    const { modality, frames } = await decodeBytes(tiff('II*\0', turned(1), SENSOR, ...files), folder.path);
    expect({ modality, ...frames[0] }).toMatchObject({ modality: 'image', width: 64, height: 48 });
    expect(sides(frames[0])).toMatchObject({ top: 'red', bottom: 'blue' });
    // Held with its right side down: the sensor's top is on the right.
    const portrait = (await decodeBytes(tiff('II*\0', turned(6), SENSOR, ...files), folder.path)).frames[0];
    expect(portrait).toMatchObject({ width: 48, height: 64 });
    expect(sides(portrait)).toMatchObject({ left: 'blue', right: 'red' });
  });

  it('a preview that says itself how it is turned is turned once', async () => {
    const own = await sharp(await preview())
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const [frame] = (await decodeBytes(tiff('II*\0', turned(6), SENSOR, own), folder.path)).frames;
    expect(sides(frame)).toMatchObject({ left: 'blue', right: 'red' });
  });

  it('the orientation of CR3 stands in a box of its own', async () => {
    const head = Buffer.from('\0\0\0\x18ftypcrx \0\0\0\x01crx isom\0\0\x01\0CMT1', 'latin1');
    const file = Buffer.concat([head, tiff('II*\0', turned(8), []), await preview()]);
    const [frame] = (await decodeBytes(file, folder.path)).frames;
    expect(frame).toMatchObject({ width: 48, height: 64 });
    expect(sides(frame)).toMatchObject({ left: 'red', right: 'blue' });
  });

  it('without a preview they are refused', async () => {
    for (const file of [
      tiff('II*\0', [], SENSOR, sensorValues()),
      tiff('IIRO', [], []),
      Buffer.from('FUJIFILMCCD-RAW 0201'),
    ])
      expect(await codeOf(decodeBytes(file, folder.path))).toBe('broken_media');
  });

  it('damaged directories cost nothing', async () => {
    const file = tiff('II*\0', turned(6), SENSOR, await preview());
    for (let round = 0; round < 300; round++) {
      const damaged = Buffer.from(file);
      for (let i = 0; i < 4; i++) damaged.writeUInt8(Math.floor(Math.random() * 256), Math.floor(Math.random() * 80));
      // Whatever it is now, receiving it ends, and it is decoded or refused.
      const outcome = await decodeBytes(damaged, folder.path).then(
        () => 'decoded',
        ({ code }) => code,
      );
      expect(['decoded', 'broken_media', 'unsupported_media', 'too_many_pixels', 'too_large']).toContain(outcome);
    }
  });
});
