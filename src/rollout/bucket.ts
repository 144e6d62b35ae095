import { createHash } from 'node:crypto';

/**
 * The bucket of a key, a number in [0, 100): equal keys have equal buckets, different keys spread evenly, and the
 * buckets of a key for different purposes are independent.
 */
export function bucketOf(key: string, purpose: 'share' | 'shadow'): number {
  const hash = createHash('sha256').update(`${purpose}\n${key}`).digest();
  return (hash.readUInt32BE(0) / 2 ** 32) * 100;
}
