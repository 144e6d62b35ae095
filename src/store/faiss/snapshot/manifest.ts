import { crc32 } from 'node:zlib';
import { isModality, type Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { NewerFormatError } from '../newer-format.js';
import type { Checksum } from './checksummed-file.js';

/** What one segment's files hold. */
export interface SegmentManifest {
  rows: number;
  vectors: Checksum;
  lines: Checksum;
}

/** What a snapshot holds, and how to tell that its files are whole. */
export interface Manifest {
  format: 1;
  dim: number;
  /** Sequence number of the last write that is in it. */
  lastSequence: number;
  /**
   * By modality; the field's name is part of the format. A modality that the writing version did not know is absent:
   * its segment is empty.
   */
  shards: Partial<Record<Modality, SegmentManifest>>;
}

/** The text of `manifest.json`: `{"crc32": <of the manifest's JSON>, "manifest": {...}}`. */
export function encodeManifest(manifest: Manifest): string {
  const text = JSON.stringify(manifest);
  return `${JSON.stringify({ crc32: crc32(text), manifest })}\n`;
}

/**
 * @throws NewerFormatError when the snapshot holds what this version does not know
 * @throws Error when the text is damaged
 */
export function decodeManifest(text: string): Manifest {
  const { crc32: checksum, manifest } = JSON.parse(text) as { crc32: number; manifest: Manifest };
  assert(crc32(JSON.stringify(manifest)) === checksum, 'a manifest whose checksum does not match');
  if (manifest.format !== 1) throw unknown(`has format ${manifest.format}`);
  for (const [name, { rows }] of Object.entries(manifest.shards))
    if (!isModality(name) && rows > 0) throw unknown(`holds ${rows} items of modality "${name}"`);
  return manifest;
}

const unknown = (what: string) => new NewerFormatError(`the newest snapshot ${what}, which this version does not know`);
