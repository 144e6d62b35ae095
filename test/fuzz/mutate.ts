import { randomFrom } from '../random.js';

/** A random generator that a seed makes repeatable. */
export class Random {
  private readonly next: () => number;

  constructor(seed: number) {
    this.next = randomFrom(seed);
  }

  /** A whole number from 0 to `limit - 1`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(values: readonly [T, ...T[]]): T {
    return values[this.below(values.length)] ?? values[0];
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

type Mutation = (bytes: Buffer, random: Random, other: Buffer) => Buffer;

/** Half of all changes fall into the first 512 bytes, where headers are. */
const somewhere = (bytes: Buffer, random: Random) =>
  random.below(random.below(2) === 0 ? Math.min(512, bytes.length + 1) : bytes.length + 1);

const replace = (bytes: Buffer, start: number, end: number, middle: Buffer) =>
  Buffer.concat([bytes.subarray(0, start), middle, bytes.subarray(end)]);

const aLength = (random: Random) => 1 + random.below(random.pick([4, 64, 1024]));

const flipBit: Mutation = (bytes, random) => {
  const at = somewhere(bytes, random);
  return replace(bytes, at, at + 1, Buffer.from([(bytes[at] ?? 0) ^ (1 << random.below(8))]));
};

const overwrite: Mutation = (bytes, random) => {
  const at = somewhere(bytes, random);
  const noise = random.bytes(aLength(random));
  return replace(bytes, at, at + noise.length, noise);
};

/** Overwrites a number with a boundary value, as sizes and counts have. */
const overwriteNumber: Mutation = (bytes, random) => {
  const at = somewhere(bytes, random);
  const number = Buffer.alloc(random.pick([1, 2, 4, 8]), random.pick([0x00, 0xff, 0x7f, 0x80]));
  if (random.below(2) === 0) number[number.length - 1] = random.below(4);
  return replace(bytes, at, at + number.length, number);
};

const insert: Mutation = (bytes, random) => {
  const at = somewhere(bytes, random);
  return replace(bytes, at, at, random.bytes(aLength(random)));
};

const remove: Mutation = (bytes, random) => {
  const at = somewhere(bytes, random);
  return replace(bytes, at, at + aLength(random), Buffer.alloc(0));
};

const repeat: Mutation = (bytes, random) => {
  const at = somewhere(bytes, random);
  const part = bytes.subarray(at, at + aLength(random));
  return replace(bytes, at, at, Buffer.concat(Array<Buffer>(1 + random.below(20)).fill(part)));
};

const truncate: Mutation = (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1));

const splice: Mutation = (bytes, random, other) =>
  Buffer.concat([bytes.subarray(0, somewhere(bytes, random)), other.subarray(somewhere(other, random))]);

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  ...([flipBit, flipBit, overwrite, overwriteNumber, overwriteNumber, insert, remove, repeat] as const),
  ...([truncate, splice] as const),
];

/**
 * Applies one to eight random changes to a file.
 * @param other a file of which parts may be spliced in
 */
export function mutate(bytes: Buffer, other: Buffer, random: Random): Buffer {
  const changes = 1 + random.below(random.pick([1, 3, 8]));
  let mutated = bytes;
  for (let change = 0; change < changes; change++) mutated = random.pick(MUTATIONS)(mutated, random, other);
  return mutated;
}
