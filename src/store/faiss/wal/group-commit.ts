import { Problem } from '../../../common/errors.js';
import { writeProblem } from '../../disk-errors.js';
import { LIMITS } from '../../limits.js';
import type { Journal } from './wal.js';

/** A write that waits for its turn. */
interface Entry {
  payload: Uint8Array;
  resolve: (result: number) => void;
  reject: (error: unknown) => void;
}

/** Work between two commits, when every earlier write has been applied. */
interface Pause {
  pause: () => Promise<void>;
}

export interface CommitterOptions {
  journal: Journal;
  /** Puts a durable payload into memory. @returns what the write reports */
  apply: (payload: Uint8Array) => number;
  onCommit: (commit: { writes: number; bytes: number; durationMs: number }) => void;
}

/**
 * The one writer of an index. Writes that arrive while an fsync runs share the next one
 * (group commit); each is applied and acknowledged, in order, after its group is on the disk.
 */
export class Committer {
  journal: Journal;
  readonly #apply: CommitterOptions['apply'];
  readonly #onCommit: CommitterOptions['onCommit'];
  readonly #queue: (Entry | Pause)[] = [];
  #draining: Promise<void> | undefined;

  constructor({ journal, apply, onCommit }: CommitterOptions) {
    this.journal = journal;
    this.#apply = apply;
    this.#onCommit = onCommit;
  }

  /**
   * @throws Problem `too_large`, `disk_full`, `store_unavailable`; the write then never happened
   * @returns what applying it reports
   */
  async write(payload: Uint8Array): Promise<number> {
    checkSize(payload);
    return new Promise((resolve, reject) => {
      this.#queue.push({ payload, resolve, reject });
      this.#start();
    });
  }

  /** A write worked out from the state that all earlier writes left; nothing to write resolves with 0. */
  writeFromState(work: () => Promise<Uint8Array | undefined>): Promise<number> {
    return this.paused(async () => {
      const payload = await work();
      if (payload === undefined) return 0;
      checkSize(payload);
      return new Promise<number>((resolve, reject) => {
        this.#commit([{ payload, resolve, reject }]).catch(reject);
      });
    });
  }

  /** Runs a task while no write is under way. */
  paused<T>(task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ pause: () => task().then(resolve, reject) });
      this.#start();
    });
  }

  /** Resolves when everything handed over so far is done. */
  async idle(): Promise<void> {
    await this.#draining;
  }

  #start(): void {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
  }

  async #drain(): Promise<void> {
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if ('pause' in head) {
        this.#queue.shift();
        await head.pause();
      } else await this.#commit(this.#takeGroup());
    }
  }

  /** The next writes that fit one frame. */
  #takeGroup(): Entry[] {
    const group: Entry[] = [];
    let bytes = 0;
    for (let head = this.#queue[0]; head !== undefined && !('pause' in head); head = this.#queue[0]) {
      bytes += head.payload.length;
      if (group.length > 0 && bytes > LIMITS.frameBytes) break;
      this.#queue.shift();
      group.push(head);
    }
    return group;
  }

  async #commit(group: readonly Entry[]): Promise<void> {
    const startedMs = performance.now();
    try {
      await this.journal.append(group.map(({ payload }) => payload));
    } catch (error) {
      const problem = writeProblem(error);
      for (const { reject } of group) reject(problem);
      return;
    }
    for (const { payload, resolve } of group) resolve(this.#apply(payload));
    const bytes = group.reduce((sum, { payload }) => sum + payload.length, 0);
    this.#onCommit({ writes: group.length, bytes, durationMs: performance.now() - startedMs });
  }
}

function checkSize({ length }: Uint8Array): void {
  if (length > LIMITS.frameBytes)
    throw new Problem(
      'too_large',
      `One write may take ${LIMITS.frameBytes} bytes; this one takes ${length}. Divide it.`,
    );
}
