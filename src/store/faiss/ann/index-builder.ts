import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { IndexKind } from '../../../common/index-kind.js';
import { MODALITIES, type Modality } from '../../../common/modality.js';
import type { Logger } from '../../../lib/log/logger.js';
import type { IndexEvents } from '../../events.js';
import type { Collection } from '../segment/collection.js';
import { builtIndexLayout } from '../snapshot/layout.js';
import { ApproximateIndex } from './approximate-index.js';
import { type BuiltIndex, loadBuiltIndex } from './built-index.js';

const BUILD_PROCESS = new URL('./build-process.js', import.meta.url);

/** Characters of a failed build's stderr that the error quotes. */
const STDERR_CHARACTERS = 2000;

export interface IndexBuilderOptions {
  kind: IndexKind;
  /** A segment with fewer rows in its snapshot is searched exactly. */
  minRows: number;
  collection: Collection;
  log: Logger;
  onIndexInstalled: IndexEvents['onIndexInstalled'];
}

/** Builds an approximate index for every large segment of a snapshot, and installs it; searches continue. */
export class IndexBuilder {
  readonly #options: IndexBuilderOptions;
  #child: ChildProcess | undefined;
  #work: Promise<void> = Promise.resolve();
  /** Work of an earlier epoch is abandoned. */
  #epoch = 0;

  constructor(options: IndexBuilderOptions) {
    this.#options = options;
  }

  /** Starts on a snapshot, in the background; work for an earlier snapshot is abandoned. */
  build(snapshotDir: string): void {
    const epoch = this.#startEpoch();
    this.#work = this.#work.then(() => this.#buildAll(snapshotDir, epoch));
  }

  /** Abandons the work in progress. */
  async stop(): Promise<void> {
    this.#startEpoch();
    await this.#work;
  }

  /** Resolves when every segment is searched by the index it should have. */
  async idle(): Promise<void> {
    await this.#work;
  }

  #startEpoch(): number {
    this.#child?.kill('SIGKILL');
    this.#epoch += 1;
    return this.#epoch;
  }

  async #buildAll(snapshotDir: string, epoch: number): Promise<void> {
    for (const modality of MODALITIES) {
      try {
        await this.#install(snapshotDir, modality, epoch);
      } catch (error) {
        if (epoch !== this.#epoch) return;
        this.#options.log.error(
          { err: error, modality },
          'index: the approximate index could not be built; the search stays exact',
        );
      }
    }
  }

  async #install(snapshotDir: string, modality: Modality, epoch: number): Promise<void> {
    const { kind, minRows, collection, log, onIndexInstalled } = this.#options;
    const segment = collection.segments[modality];
    const rows = segment.rows.snapshotCount;
    if (rows < minRows || epoch !== this.#epoch) return;
    const built =
      (await this.#find(snapshotDir, modality, rows)) ?? (await this.#build(snapshotDir, modality, rows, epoch));
    if (epoch !== this.#epoch) return;
    const file = builtIndexLayout(snapshotDir, modality, kind).index;
    await segment.installIndex(ApproximateIndex.read(kind, file, collection.dim, rows));
    const { recallAt10, buildMs, seal } = built;
    onIndexInstalled?.({ modality, kind, rows, recallAt10, bytes: seal.bytes, buildMs });
    log.info({ modality, kind, rows, recallAt10, buildMs }, 'index: searching approximately');
  }

  async #find(snapshotDir: string, modality: Modality, rows: number): Promise<BuiltIndex | undefined> {
    const { kind, log } = this.#options;
    try {
      return await loadBuiltIndex(snapshotDir, modality, kind, rows);
    } catch (error) {
      log.warn({ err: error, modality, kind }, 'index: a damaged approximate index is built again');
      await rm(builtIndexLayout(snapshotDir, modality, kind).built, { force: true });
      return undefined;
    }
  }

  async #build(snapshotDir: string, modality: Modality, rows: number, epoch: number): Promise<BuiltIndex> {
    const { kind, collection } = this.#options;
    const args = [snapshotDir, modality, kind, collection.dim, rows].map(String);
    // At the lowest priority it may use every core that is idle.
    const env = { ...process.env, OMP_NUM_THREADS: String(availableParallelism()) };
    this.#child = fork(BUILD_PROCESS, args, { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    let stderr = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-STDERR_CHARACTERS);
    });
    if (epoch !== this.#epoch) this.#child.kill('SIGKILL');
    const [code, signal] = (await once(this.#child, 'exit')) as [number | null, string | null];
    this.#child = undefined;
    const built = code === 0 ? await loadBuiltIndex(snapshotDir, modality, kind, rows) : undefined;
    if (built !== undefined) return built;
    // A part of an index would only fill the disk further.
    await rm(builtIndexLayout(snapshotDir, modality, kind).index, { force: true }).catch(() => {});
    throw new Error(`index: the process that builds ${kind} ended with ${code ?? signal}: ${stderr}`);
  }
}
