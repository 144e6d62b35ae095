import { assert } from '../../../lib/assert.js';
import type { Metadata } from '../../vector-store.js';

/**
 * A line of a snapshot's metadata file: `{"id":"...","metadata":{...}}`. Its fields are in this order and without
 * spaces, so that the metadata of a known id is found without parsing.
 */
const HEAD = '{"id":';
const MIDDLE = ',"metadata":';

export function encodeLine(id: string, metadata: Uint8Array): Uint8Array[] {
  return [Buffer.from(`${HEAD}${JSON.stringify(id)}${MIDDLE}`), metadata, Buffer.from('}\n')];
}

/** The JSON of the metadata, still as bytes. */
export function metadataOfLine(line: Buffer, id: string): Buffer {
  const start = HEAD.length + Buffer.byteLength(JSON.stringify(id)) + MIDDLE.length;
  assert(line.length > start + 2 && line.at(-1) === 0x0a, 'a metadata line of another shape than written');
  return line.subarray(start, -2);
}

/** @throws Error when the line has no id or no metadata */
export function parseLine(line: Buffer): { id: string; metadata: Metadata } {
  const { id, metadata } = JSON.parse(line.toString()) as { id?: unknown; metadata?: Metadata };
  assert(typeof id === 'string' && metadata !== undefined, 'a metadata line without id or metadata');
  return { id, metadata };
}
