import { MODALITIES } from '../../src/common/modality.js';
import type { Filter, Item } from '../../src/store/vector-store.js';
import type { Oracle } from '../store/oracle.js';
import { type Dice, diceOf } from './dice.js';
import { FAULT_KINDS, type Fault } from './faults.js';

/** A write, as the engine receives it. */
export type Write =
  | { kind: 'upsert'; items: Item[] }
  | { kind: 'delete'; ids: string[] }
  | { kind: 'deleteWhere'; filter: Filter };

export type Action = 'write' | 'read' | 'snapshot' | 'background snapshot' | 'reopen' | 'power-cut' | 'kill';

/** One step. What it does in detail depends on its seed alone, so that steps can be left out one by one. */
export interface Step {
  seed: number;
  action: Action;
  fault?: Fault;
}

/** What is the same throughout a history. */
export interface World {
  dim: number;
  ids: number;
  /** Write-ahead log bytes that call for a snapshot. */
  snapshotBytes: number;
  /** Longest text in the metadata of an item. */
  textBytes: number;
}

export interface History {
  seed: number;
  world: World;
  steps: Step[];
}

/** As often as they are named. */
const ACTIONS: readonly Action[] = [
  ...new Array<Action>(10).fill('write'),
  ...new Array<Action>(4).fill('read'),
  ...(['snapshot', 'snapshot', 'background snapshot', 'background snapshot'] as const),
  ...(['reopen', 'power-cut', 'power-cut', 'kill'] as const),
];

export function historyOf(seed: number): History {
  const dice = diceOf(seed);
  const world = {
    dim: dice.pick([2, 4, 16]),
    ids: dice.pick([4, 12, 60]),
    snapshotBytes: dice.pick([1, 2000, 20_000, 1e9]),
    textBytes: dice.pick([10, 600, 6000]),
  };
  const steps = Array.from({ length: 3 + dice.below(18) }, () => stepsOf(dice)).flat();
  return { seed, world, steps };
}

function stepsOf(dice: Dice): Step[] {
  return dice.chance(0.05) ? compoundOf(dice) : [stepOf(dice)];
}

/** A snapshot fails where it begins a new log, and the process ends in a write after that: rare by chance. */
function compoundOf(dice: Dice): Step[] {
  const seed = () => dice.below(2 ** 32);
  const kind = dice.pick(['sync-error', 'write-error', 'full', 'no-descriptors'] as const);
  const fails = { kind, after: dice.below(6), lasts: dice.magnitude(4) };
  const ends = { kind: 'power-cut' as const, after: dice.below(5), lasts: 1 };
  return [
    { seed: seed(), action: 'snapshot', fault: fails },
    { seed: seed(), action: 'write', fault: ends },
  ];
}

function stepOf(dice: Dice): Step {
  const action = dice.pick(ACTIONS);
  const step = { seed: dice.below(2 ** 32), action };
  return dice.chance(0.4) ? { ...step, fault: faultOf(dice, action) } : step;
}

/** Half of the faults end the process. A write takes few calls, and a snapshot many. */
const faultOf = (dice: Dice, action: Action): Fault => ({
  kind: dice.chance(0.4) ? 'power-cut' : dice.pick(FAULT_KINDS),
  after: dice.magnitude(action === 'write' ? 12 : 80) - 1,
  lasts: dice.magnitude(60),
});

const COLOURS = ['red', 'green', 'blue'];
export const FILTERS: readonly Filter[] = [
  {},
  { colour: 'red' },
  { number: { $gte: 5 } },
  { $or: [{ colour: 'blue' }, { number: 1 }] },
  { $not: { colour: { $in: ['red', 'green'] } } },
  { text: { $exists: true } },
];
const FILES = ['a', 'b', 'c'].map((digit) => digit.repeat(64));

const idOf = (dice: Dice, { ids }: World): string => `item-${dice.below(ids)}`;

/** Few directions, so that scores tie. */
export function vectorOf(dice: Dice, { dim }: World): Float32Array {
  const isRound = dice.chance(0.3);
  const vector = Float32Array.from({ length: dim }, () => (isRound ? dice.pick([-1, 1]) : dice.next() - 0.5));
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

function itemOf(dice: Dice, world: World): Item {
  const number = dice.below(10);
  const text = dice.chance(0.5)
    ? {}
    : { text: dice.pick(['x', '雪', '"\n']).repeat(dice.magnitude(world.textBytes / 3)) };
  return {
    id: idOf(dice, world),
    modality: dice.pick(MODALITIES),
    metadata: { version: dice.below(2 ** 32), number, colour: dice.pick(COLOURS), ...text },
    vector: vectorOf(dice, world),
    ...(dice.chance(0.2) ? { original: [{ file: dice.pick(FILES) }] } : {}),
  };
}

/** Writes that a step sends at once. */
export function writesOf(dice: Dice, world: World): Write[] {
  return Array.from({ length: dice.pick([1, 1, 2, 4]) }, () => {
    const kind = dice.next();
    if (kind < 0.7) return { kind: 'upsert', items: listOf(dice, () => itemOf(dice, world)) };
    if (kind < 0.9) return { kind: 'delete', ids: listOf(dice, () => idOf(dice, world)) };
    return { kind: 'deleteWhere', filter: dice.pick(FILTERS.slice(1)) };
  });
}

/** Mostly short. From 32 rows on, FAISS receives them through a file. */
const listOf = <T>(dice: Dice, make: () => T): T[] =>
  Array.from({ length: dice.chance(0.05) ? 40 : dice.magnitude(8) }, make);

/** @returns how many ids it deleted */
export function applyWrite(model: Oracle, write: Write): number {
  if (write.kind === 'delete') return model.delete(write.ids);
  if (write.kind === 'deleteWhere') return model.deleteWhere(write.filter);
  model.upsert(write.items);
  return 0;
}
