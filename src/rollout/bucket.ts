import { createHash } from 'node:crypto';

/**
 * A number in [0, 100) drawn for a key: the same key always draws the same, and keys spread evenly. Draws for
 * different purposes have nothing to do with each other.
 */
export function lot(key: string, purpose: 'share' | 'shadow'): number {
  const hash = createHash('sha256').update(`${purpose}\n${key}`).digest();
  return (hash.readUInt32BE(0) / 2 ** 32) * 100;
}
