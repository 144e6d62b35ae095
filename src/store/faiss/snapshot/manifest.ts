import { crc32 } from 'node:zlib';
import type { Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import type { Seal } from './checksummed-file.js';

export interface Manifest {
  format: 1;
  dim: number;
  lastSequence: number;
  shards: Record<Modality, { rows: number; vectors: Seal; lines: Seal }>;
}

export const sealManifest = (manifest: Manifest): string => {
  const text = JSON.stringify(manifest);
  return `${JSON.stringify({ crc32: crc32(text), manifest })}\n`;
};

export function openManifest(text: string): Manifest {
  const { crc32: checksum, manifest } = JSON.parse(text) as { crc32: number; manifest: Manifest };
  assert(crc32(JSON.stringify(manifest)) === checksum, 'a manifest whose checksum does not match');
  assert(manifest.format === 1, `a snapshot of format ${manifest.format}, which this version does not read`);
  return manifest;
}
