import { randomFrom } from '../random.js';

/** Random choices from one seed. */
export interface Dice {
  /** Uniform in [0, 1). */
  next(): number;
  /** A whole number from 0 up to and without `end`. */
  below(end: number): number;
  chance(probability: number): boolean;
  pick<T>(choices: readonly T[]): T;
  /** 1 to `max`, each magnitude as likely as the others. */
  magnitude(max: number): number;
}

export function diceOf(seed: number): Dice {
  const next = randomFrom(seed);
  const below = (end: number) => Math.floor(next() * end);
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (choices) => choices[below(choices.length)] as (typeof choices)[number],
    magnitude: (max) => Math.floor(max ** next()),
  };
}
