import { Problem } from '../../../common/errors.js';
import { writeProblem } from '../../disk-errors.js';
import { LIMITS } from '../../limits.js';
import type { WriteAheadLog } from './wal.js';

/** A write in the queue. */
interface Entry {
  payload: Uint8Array;
  resolve: (result: number) => void;
  reject: (error: unknown) => void;
}

/** Work between two commits: every earlier write has been applied, no later one has been written. */
interface Barrier {
  run: () => Promise<void>;
}

export interface GroupCommitOptions {
  wal: WriteAheadLog;
  /** Rejects when this process is no longer the one that may write. */
  fence: () => Promise<void>;
  /** Continues in a new log: replaces `wal`. @throws the error of the disk */
  renewWal: () => Promise<void>;
  /** Applies a durable payload to the state in memory. @returns the result of the write */
  apply: (payload: Uint8Array) => number;
  onCommit: (commit: { writes: number; bytes: number; durationMs: number }) => void;
}

/**
 * The one writer of an index. Writes that arrive while an fsync runs share the next one
 * (group commit); each is applied and acknowledged, in order, after its group is on the disk.
 */
export class GroupCommit {
  wal: WriteAheadLog;
  readonly #fence: GroupCommitOptions['fence'];
  readonly #renewWal: GroupCommitOptions['renewWal'];
  readonly #apply: GroupCommitOptions['apply'];
  readonly #onCommit: GroupCommitOptions['onCommit'];
  readonly #queue: (Entry | Barrier)[] = [];
  #draining: Promise<void> | undefined;

  constructor({ wal, fence, renewWal, apply, onCommit }: GroupCommitOptions) {
    this.wal = wal;
    this.#fence = fence;
    this.#renewWal = renewWal;
    this.#apply = apply;
    this.#onCommit = onCommit;
  }

  /**
   * @returns the result of applying it
   * @throws Problem `too_large`, `disk_full`, `store_unavailable`; the write then did not happen
   */
  async write(payload: Uint8Array): Promise<number> {
    checkSize(payload);
    return new Promise((resolve, reject) => {
      this.#queue.push({ payload, resolve, reject });
      this.#start();
    });
  }

  /** A write computed from the state after all earlier writes. @returns 0 where `work` has nothing to write */
  writeFromState(work: () => Promise<Uint8Array | undefined>): Promise<number> {
    return this.between(async () => {
      const payload = await work();
      if (payload === undefined) {
        await this.#settle();
        return 0;
      }
      checkSize(payload);
      return new Promise<number>((resolve, reject) => {
        this.#commit([{ payload, resolve, reject }]).catch(reject);
      });
    });
  }

  /** Runs a task after every earlier write and before every later one. */
  between<T>(task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ run: () => task().then(resolve, reject) });
      this.#start();
    });
  }

  /** Resolves when the queue is empty. */
  async idle(): Promise<void> {
    await this.#draining;
  }

  /**
   * Cuts off what a refused write left. An acknowledgement that comes after the refusal says that it did not happen: a
   * power cut must not bring it back.
   * @throws Problem `disk_full`, `store_unavailable`
   */
  async #settle(): Promise<void> {
    try {
      await this.#fence();
      await this.wal.cut();
    } catch (error) {
      throw writeProblem(error);
    }
  }

  #start(): void {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
  }

  async #drain(): Promise<void> {
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if ('run' in head) {
        this.#queue.shift();
        await head.run();
      } else await this.#commit(this.#takeGroup());
    }
  }

  /** The next writes that fit into one frame. */
  #takeGroup(): Entry[] {
    const group: Entry[] = [];
    let bytes = 0;
    for (let head = this.#queue[0]; head !== undefined && !('run' in head); head = this.#queue[0]) {
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
      await this.#fence();
      if (this.wal.isSuspect) await this.#renewWal();
      await this.wal.append(group.map(({ payload }) => payload));
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
      `One write may take ${LIMITS.frameBytes} bytes; this one takes ${length}. Divide it into several.`,
    );
}
