import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Approximation } from '../../../common/index-kind.js';
import { MODALITIES, type Modality } from '../../../common/modality.js';
import type { Logger } from '../../../lib/logger.js';
import type { IndexEvents } from '../events.js';
import type { Collection } from '../segment/collection.js';
import { approximationLayout } from '../snapshot/layout.js';
import { ApproximateIndex } from './approximate-index.js';
import { type Built, loadBuilt } from './built-index.js';

const BUILDER = new URL('./build-process.js', import.meta.url);

/** How much of what a failed builder said goes into the log. */
const COMPLAINT_CHARACTERS = 2000;

export interface ApproximatorOptions {
  kind: Approximation;
  /** A shard with fewer rows in its snapshot is searched exactly. */
  minRows: number;
  collection: Collection;
  log: Logger;
  onApproximation: IndexEvents['onApproximation'];
}

/** Has an approximate index built for every large shard of a snapshot, and puts it to use; searches go on. */
export class Approximator {
  readonly #options: ApproximatorOptions;
  #child: ChildProcess | undefined;
  #work: Promise<void> = Promise.resolve();
  /** Raised to make work under way give up. */
  #wish = 0;

  constructor(options: ApproximatorOptions) {
    this.#options = options;
  }

  /** Takes up a snapshot, in the background; what an earlier one still had to do is dropped. */
  takeUp(snapshotDir: string): void {
    const wish = this.#cancel();
    this.#work = this.#work.then(() => this.#approximate(snapshotDir, wish));
  }

  /** Drops the work under way. */
  async stop(): Promise<void> {
    this.#cancel();
    await this.#work;
  }

  /** Resolves when every shard is as it should be. */
  async idle(): Promise<void> {
    await this.#work;
  }

  #cancel(): number {
    this.#child?.kill('SIGKILL');
    this.#wish += 1;
    return this.#wish;
  }

  async #approximate(snapshotDir: string, wish: number): Promise<void> {
    for (const modality of MODALITIES) {
      try {
        await this.#approximateShard(snapshotDir, modality, wish);
      } catch (error) {
        if (wish !== this.#wish) return;
        this.#options.log.error({ err: error, modality }, 'index: no approximation; the search stays exact');
      }
    }
  }

  async #approximateShard(snapshotDir: string, modality: Modality, wish: number): Promise<void> {
    const { kind, minRows, collection } = this.#options;
    const shard = collection.shards[modality];
    const rows = shard.rows.baseCount;
    if (rows < minRows || wish !== this.#wish) return;
    const built =
      (await this.#find(snapshotDir, modality, rows)) ?? (await this.#build(snapshotDir, modality, rows, wish));
    if (wish !== this.#wish) return;
    const file = approximationLayout(snapshotDir, modality, kind).index;
    await shard.useIndex(ApproximateIndex.read(kind, file, collection.dim, rows));
    const { recallAt10, buildMs, seal } = built;
    this.#options.onApproximation?.({ modality, kind, rows, recallAt10, bytes: seal.bytes, buildMs });
    this.#options.log.info({ modality, kind, rows, recallAt10, buildMs }, 'index: searching approximately');
  }

  async #find(snapshotDir: string, modality: Modality, rows: number): Promise<Built | undefined> {
    const { kind, log } = this.#options;
    try {
      return await loadBuilt(snapshotDir, modality, kind, rows);
    } catch (error) {
      log.warn({ err: error, modality, kind }, 'index: a damaged approximation is built again');
      const files = approximationLayout(snapshotDir, modality, kind);
      await rm(files.built, { force: true });
      return undefined;
    }
  }

  async #build(snapshotDir: string, modality: Modality, rows: number, wish: number): Promise<Built> {
    const { kind, collection } = this.#options;
    const args = [snapshotDir, modality, kind, collection.dim, rows].map(String);
    // It has the lowest priority, so it may take whatever cores nobody else wants.
    const env = { ...process.env, OMP_NUM_THREADS: String(availableParallelism()) };
    this.#child = fork(BUILDER, args, { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    let complaint = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-COMPLAINT_CHARACTERS);
    });
    if (wish !== this.#wish) this.#child.kill('SIGKILL');
    const [code, signal] = (await once(this.#child, 'exit')) as [number | null, string | null];
    this.#child = undefined;
    const built = code === 0 ? await loadBuilt(snapshotDir, modality, kind, rows) : undefined;
    if (built === undefined)
      throw new Error(`index: the builder of ${kind} ended with ${code ?? signal}: ${complaint}`);
    return built;
  }
}
