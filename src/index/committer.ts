import { Problem } from '../errors.js';
import { writeProblem } from './disk.js';
import type { Journal } from './journal.js';
import { LIMITS } from './limits.js';

/** A write that waits for its turn. */
interface Entry {
  /** The operations; called when every earlier write has been applied, if `readsState`. */
  payload: () => Uint8Array | undefined;
  /** What it writes depends on what is stored, so it starts a group of its own. */
  readsState: boolean;
  resolve: (result: number) => void;
  reject: (error: unknown) => void;
}

/** Runs between two commits. */
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

  /** @throws Problem `disk_full`, `store_unavailable`; the write then never happened */
  write(payload: Uint8Array): Promise<number> {
    return this.#enqueue(() => payload, false);
  }

  /** A write that is worked out from the state all earlier writes left; nothing to do resolves with 0. */
  writeFromState(payload: () => Uint8Array | undefined): Promise<number> {
    return this.#enqueue(payload, true);
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

  #enqueue(payload: Entry['payload'], readsState: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ payload, readsState, resolve, reject });
      this.#start();
    });
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
  #takeGroup(): { entry: Entry; payload: Uint8Array }[] {
    const group: { entry: Entry; payload: Uint8Array }[] = [];
    let bytes = 0;
    for (let head = this.#queue[0]; head !== undefined && !('pause' in head); head = this.#queue[0]) {
      if (head.readsState && group.length > 0) break;
      const payload = this.#payloadOf(head);
      if (payload !== undefined && group.length > 0 && bytes + payload.length > LIMITS.frameBytes) break;
      this.#queue.shift();
      if (payload === undefined) continue;
      bytes += payload.length;
      group.push({ entry: head, payload });
    }
    return group;
  }

  /** Nothing when the write has nothing to do or cannot be worked out; it is answered then. */
  #payloadOf(entry: Entry): Uint8Array | undefined {
    try {
      const payload = entry.payload();
      if (payload === undefined) entry.resolve(0);
      else if (payload.length <= LIMITS.frameBytes) return payload;
      else entry.reject(new Problem('too_large', `One write may hold ${LIMITS.frameBytes} bytes.`));
    } catch (error) {
      entry.reject(error);
    }
    return undefined;
  }

  async #commit(group: readonly { entry: Entry; payload: Uint8Array }[]): Promise<void> {
    if (group.length === 0) return;
    const startedMs = performance.now();
    try {
      await this.journal.append(group.map(({ payload }) => payload));
    } catch (error) {
      const problem = writeProblem(error);
      for (const { entry } of group) entry.reject(problem);
      return;
    }
    for (const { entry, payload } of group) entry.resolve(this.#apply(payload));
    const bytes = group.reduce((sum, { payload }) => sum + payload.length, 0);
    this.#onCommit({ writes: group.length, bytes, durationMs: performance.now() - startedMs });
  }
}
