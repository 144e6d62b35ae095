import { isDeepStrictEqual } from 'node:util';
import { Problem } from '../../src/common/errors.js';
import { Engine } from '../../src/store/faiss/engine.js';
import { encodeDelete, encodeUpsert } from '../../src/store/faiss/wal/record.js';
import { encodeItem } from '../../src/store/validate.js';
import { Oracle } from '../store/oracle.js';
import { ask, contentOf, contentOfModel, demand, demandEqual, type Verdict, Violation } from './check.js';
import { type Dice, diceOf } from './dice.js';
import type { FaultKind } from './faults.js';
import { FileCalls, MOUNT } from './file-calls.js';
import { applyWrite, type History, type Step, type World, type Write, writesOf } from './history.js';
import { useMachine } from './patch.js';

/** Two folders deep: the names of both must be on the disk before a write is acknowledged. */
const INDEX = `${MOUNT}/data/index`;
/** Turns of the event loop after which a call counts as hanging. */
const MAX_TURNS = 20_000;

/** Turns after which nothing of an ended process runs any more. */
const LAST_TURNS = 50;

const turn = () => new Promise((resolve) => setImmediate(resolve));

type Outcome<T> = { value: T } | { error: unknown } | 'pending';

/** Writes that were not acknowledged are there as these runs of consecutive ones, or not at all. */
function* runsOf(writes: readonly Write[]): Generator<Write[]> {
  yield [];
  for (let from = 0; from < writes.length; from++)
    for (let until = from + 1; until <= writes.length; until++) yield writes.slice(from, until);
}

/** One history: the engine on a simulated machine, beside a model of what it must hold. */
export class Simulation {
  readonly #world: World;
  readonly #calls: FileCalls;
  #dice: Dice;
  #model = new Oracle();
  /** Since the last acknowledged write. After a restart they may be there. */
  #unacknowledged: Write[] = [];
  #engine: Engine | undefined;
  #errors: string[] = [];
  #released: string[] = [];
  #fault: FaultKind | undefined;
  /** What happened, for the report of a failure. */
  readonly trace: string[] = [];

  constructor({ seed, world }: History) {
    this.#world = world;
    this.#dice = diceOf(seed);
    this.#calls = new FileCalls(this.#dice);
    useMachine(this.#calls);
  }

  get calls(): number {
    return this.#calls.count;
  }

  /** @throws Violation */
  async step({ seed, action, fault }: Step): Promise<void> {
    this.#dice = diceOf(seed);
    this.#calls.dice = this.#dice;
    this.#fault = undefined;
    if (this.#engine === undefined) await this.#openUndisturbed();
    this.#fault = fault?.kind;
    this.#calls.arm(fault);
    this.trace.push(
      `${action}${fault === undefined ? '' : `, ${fault.kind} after ${fault.after} calls for ${fault.lasts}`}`,
    );
    await this.#perform(action);
    if (this.#calls.hasEnded) await this.#restart();
    else if (this.#engine !== undefined && (fault !== undefined || this.#dice.chance(0.2))) await this.#read();
  }

  /** After the last step: everything is there, and nothing is left open, after a close and after a power cut. */
  async finish(): Promise<void> {
    await this.step({ seed: 1, action: 'reopen' });
    await this.step({ seed: 2, action: 'power-cut' });
    await this.step({ seed: 3, action: 'snapshot' });
    await this.step({ seed: 4, action: 'reopen' });
  }

  /** Ends the process: what it still had to do must not reach the next one. */
  async end(): Promise<void> {
    if (!this.#calls.hasEnded) this.#calls.end('kill');
    for (let turns = 0; turns < LAST_TURNS; turns++) await turn();
  }

  async #perform(action: Step['action']): Promise<void> {
    const engine = this.#engine as Engine;
    switch (action) {
      case 'write':
        return this.#write(engine);
      case 'read':
        return this.#read();
      case 'snapshot':
        await this.#settle([engine.snapshot()]);
        return;
      case 'background snapshot':
        void engine.snapshot();
        return this.#write(engine);
      case 'reopen':
        return this.#reopen(engine);
      default:
        this.#calls.end(action);
    }
  }

  /** Sends writes at once, with a search and a listing among them. */
  async #write(engine: Engine): Promise<void> {
    const writes = writesOf(this.#dice, this.#world);
    this.#released = [];
    const sent = writes.map((write) => send(engine, write, this.#world));
    const [answers, outcomes] = await this.#settleBoth(ask(engine, this.#world, this.#dice), sent);
    const states = [new Oracle(this.#model.items)];
    writes.forEach((write, i) => {
      const outcome = outcomes[i] as Outcome<number>;
      this.trace.push(`  ${describe(write)}: ${describeOutcome(outcome)}`);
      if (outcome !== 'pending' && 'value' in outcome) {
        const deleted = applyWrite(this.#model, write);
        demand(outcome.value === deleted, `a write deleted ${outcome.value} items, not ${deleted}`);
        this.#unacknowledged = [];
        states.push(new Oracle(this.#model.items));
        return;
      }
      if (outcome !== 'pending') this.#demandRefusal(outcome.error);
      this.#unacknowledged.push(write);
    });
    if (this.#calls.hasEnded) return;
    this.#checkReleased(states);
    for (const answer of answers) this.#checkAnswer(answer, states);
  }

  /** An answer given among writes is right for the state before or after one of them. */
  #checkAnswer(answer: Outcome<Verdict>, states: readonly Oracle[]): void {
    if (answer === 'pending') return;
    if ('error' in answer) {
      this.#demandReadError(answer.error);
      return;
    }
    const wrong = states.map((state) => answer.value(state));
    demand(wrong.includes(undefined), wrong[0] ?? '');
  }

  #demandRefusal(error: unknown): void {
    demand(this.#fault !== undefined, `a write failed on a sound disk: ${String(error)}`);
    demand(error instanceof Problem, `a write failed with ${String(error)}`);
    const expected = this.#fault === 'full' ? 507 : 503;
    demand(error.status === expected, `a write failed with ${error.status} ${error.code}, not ${expected}`);
  }

  #demandReadError(error: unknown): void {
    if (error instanceof Violation) throw error;
    demand(this.#fault === 'read-error', `a read failed: ${String(error)}`);
    demand(error instanceof Problem && error.status === 503, `a read failed with ${String(error)}`);
  }

  async #read(): Promise<void> {
    const engine = this.#engine as Engine;
    const compared = demandEqual(engine, this.#model);
    const [answers, [outcome]] = await this.#settleBoth(ask(engine, this.#world, this.#dice), [compared]);
    if (outcome !== undefined && outcome !== 'pending' && 'error' in outcome) this.#demandReadError(outcome.error);
    for (const answer of answers) this.#checkAnswer(answer, [this.#model]);
  }

  async #reopen(engine: Engine): Promise<void> {
    const [closed] = await this.#settle([engine.close()]);
    if (closed === 'pending') return;
    this.#engine = undefined;
    demand('value' in (closed as object) || this.#fault !== undefined, `closing failed: ${describeOutcome(closed)}`);
    demand(this.#calls.openFiles.length === 0, `closing left open: ${this.#calls.openFiles.join(', ')}`);
    await this.#open();
  }

  /** The process has ended: opens the index again, which may be disturbed as well. */
  async #restart(): Promise<void> {
    this.trace.push('  restart');
    await this.end();
    this.#calls.restart();
    this.#engine = undefined;
    const disturbance = this.#dice.chance(0.2)
      ? {
          kind: this.#dice.pick(['power-cut', 'kill', 'sync-error', 'full'] as const),
          after: this.#dice.magnitude(40) - 1,
          lasts: 10,
        }
      : undefined;
    this.#fault = disturbance?.kind;
    this.#calls.arm(disturbance);
    await this.#open();
    if (this.#calls.hasEnded) await this.#restart();
    else if (this.#engine === undefined) await this.#openUndisturbed();
  }

  async #openUndisturbed(): Promise<void> {
    this.#fault = undefined;
    this.#calls.arm(undefined);
    await this.#open();
  }

  async #open(): Promise<void> {
    this.#errors = [];
    const log = {
      info: () => {},
      warn: (_: object, message: string) => void this.trace.push(`  warning: ${message}`),
      error: (fields: object, message: string) =>
        void this.#errors.push(`${message} ${String((fields as { err?: unknown }).err)}`),
    };
    const { dim, snapshotBytes } = this.#world;
    const binding = { model: 'test', revision: '1', dim };
    const events = { onReleased: (files: readonly string[]) => void this.#released.push(...files) };
    const opening = Engine.open({ dir: INDEX, binding, snapshotBytes, log, events }, async () => ({
      assertHeld: async () => {},
      release: async () => {},
    }));
    const [opened] = await this.#settle([opening]);
    if (opened === 'pending' || opened === undefined) return;
    if ('error' in opened) {
      demand(this.#fault !== undefined, `the index cannot be opened: ${String(opened.error)}`);
      demand(this.#calls.openFiles.length === 0, `a failed opening left open: ${this.#calls.openFiles.join(', ')}`);
      return;
    }
    this.#engine = opened.value;
    if (this.#fault === undefined) demand(this.#errors.length === 0, `opening logged: ${this.#errors.join('; ')}`);
    // Faults strike the opening, not the comparison.
    this.#calls.arm(undefined);
    await this.#adopt(opened.value);
  }

  /** Finds out which of the writes that were not acknowledged are there. */
  async #adopt(engine: Engine): Promise<void> {
    const [content] = await this.#settle([contentOf(engine)]);
    if (content === 'pending' || content === undefined) return;
    if ('error' in content) throw content.error;
    for (const run of runsOf(this.#unacknowledged)) {
      const state = new Oracle(this.#model.items);
      for (const write of run) applyWrite(state, write);
      if (!isDeepStrictEqual(content.value, contentOfModel(state))) continue;
      this.#model = state;
      this.#unacknowledged = [];
      return demandEqual(engine, state);
    }
    const ids = (items: readonly { id: string }[]) => items.map(({ id }) => id).join(' ');
    demand(
      false,
      `after opening, the index holds [${ids(content.value)}], the model [${ids(contentOfModel(this.#model))}]`,
    );
  }

  /** A kept file is released when no item refers to it, after one of the writes of the step. */
  #checkReleased(states: readonly Oracle[]): void {
    const refersTo = (state: Oracle, file: string) =>
      [...state.items.values()].some(({ original = [] }) =>
        original.some((part) => 'file' in part && part.file === file),
      );
    for (const file of this.#released)
      demand(!states.every((state) => refersTo(state, file)), 'a file is released that an item refers to');
  }

  async #settleBoth<A, B>(
    some: readonly Promise<A>[],
    others: readonly Promise<B>[],
  ): Promise<[Outcome<A>[], Outcome<B>[]]> {
    return Promise.all([this.#settle(some), this.#settle(others)]);
  }

  /** Waits until all are settled or the process has ended. */
  async #settle<T>(promises: readonly Promise<T>[]): Promise<Outcome<T>[]> {
    const outcomes = promises.map((): Outcome<T> => 'pending');
    promises.forEach((promise, i) => {
      promise.then(
        (value) => (outcomes[i] = { value }),
        (error: unknown) => {
          if (!this.#calls.hasEnded) outcomes[i] = { error };
        },
      );
    });
    for (let turns = 0; outcomes.includes('pending') && !this.#calls.hasEnded; turns++) {
      demand(turns < MAX_TURNS, 'a call hangs');
      await turn();
    }
    return outcomes;
  }
}

function send(engine: Engine, write: Write, { dim }: World): Promise<number> {
  if (write.kind === 'deleteWhere') return engine.deleteWhere(write.filter);
  if (write.kind === 'delete') return engine.write(encodeDelete(write.ids));
  return engine.write(encodeUpsert(write.items.map((item) => encodeItem(item, dim))));
}

function describe(write: Write): string {
  if (write.kind === 'upsert') return `upsert ${write.items.map(({ id }) => id).join(' ')}`;
  if (write.kind === 'delete') return `delete ${write.ids.join(' ')}`;
  return `delete where ${JSON.stringify(write.filter)}`;
}

function describeOutcome(outcome: Outcome<unknown> | undefined): string {
  if (outcome === undefined || outcome === 'pending') return 'not answered';
  return 'value' in outcome ? 'acknowledged' : String(outcome.error);
}
