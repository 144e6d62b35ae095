import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { syncDir } from '../../../lib/fs.js';
import type { Logger } from '../../../lib/log/logger.js';
import type { IndexEvents } from '../../events.js';
import type { BackupFile } from '../../vector-store.js';
import { copyIndex } from '../backup.js';
import type { Collection } from '../segment/collection.js';
import type { GroupCommit } from '../wal/group-commit.js';
import { WriteAheadLog } from '../wal/wal.js';
import { layout, parseName } from './layout.js';
import { writeSnapshot } from './writer.js';

/** Tombstones that call for a snapshot, once they are a quarter of a segment's rows. */
const TOMBSTONES_MIN = 4096;

export interface SnapshotSchedulerOptions {
  dir: string;
  collection: Collection;
  groupCommit: GroupCommit;
  /** Write-ahead log bytes that call for a snapshot; a large index waits until they are half of its vectors. */
  snapshotBytes: number;
  /** Of the newest write-ahead log. */
  generation: number;
  /** Of the snapshot served from; 0 where there is none. */
  snapshotGeneration: number;
  /** Write-ahead log bytes that no snapshot holds yet. */
  walBytes: number;
  /** Rejects when this process is no longer the one that may write. */
  fence: () => Promise<void>;
  log: Logger;
  /** When the snapshot served from was written, in ms since 1970; undefined where there is none. */
  snapshotAtMs: number | undefined;
  onJournal: IndexEvents['onJournal'];
  onSnapshot: IndexEvents['onSnapshot'];
  /** Receives the folder of each snapshot that is served from now on. */
  onInstalled: (snapshotDir: string) => void;
}

/** Decides when a snapshot is due, takes it, or a backup, while reads and writes continue, and removes what it replaces. */
export class SnapshotScheduler {
  readonly #options: SnapshotSchedulerOptions;
  #generation: number;
  #snapshotGeneration: number;
  #walBytes: number;
  #snapshotAtMs: number | undefined;
  /** After a failed snapshot: no other one before the write-ahead log has grown to this. */
  #retryBytes = 0;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: SnapshotSchedulerOptions) {
    this.#options = options;
    this.#generation = options.generation;
    this.#snapshotGeneration = options.snapshotGeneration;
    this.#walBytes = options.walBytes;
    this.#snapshotAtMs = options.snapshotAtMs;
    this.#reportJournal();
  }

  /** Folder of the snapshot served from, where there is one. */
  get currentDir(): string | undefined {
    return this.#snapshotGeneration === 0 ? undefined : layout(this.#options.dir).snapshot(this.#snapshotGeneration);
  }

  /** Counts the bytes of a commit. */
  committed(bytes: number): void {
    this.#walBytes += bytes;
    this.#reportJournal();
    this.snapshotIfDue();
  }

  snapshotIfDue(): void {
    if (this.#running !== undefined || this.#walBytes < this.#retryBytes) return;
    const { collection } = this.#options;
    const isWalLong = this.#walBytes > this.#dueBytes;
    const hasManyTombstones = Object.values(collection.segments).some(
      ({ tombstones, ids }) => tombstones > TOMBSTONES_MIN && tombstones > ids.length / 4,
    );
    if (isWalLong || hasManyTombstones) void this.snapshot();
  }

  /** Write-ahead log bytes above which a snapshot is due. */
  get #dueBytes(): number {
    const { collection, snapshotBytes } = this.#options;
    return Math.max(snapshotBytes, (collection.size * 4 * collection.dim) / 2);
  }

  #reportJournal(): void {
    const [bytes, dueBytes, snapshotAtMs] = [this.#walBytes, this.#dueBytes, this.#snapshotAtMs];
    this.#options.onJournal?.({ bytes, dueBytes, snapshotAtMs });
  }

  /** Takes a snapshot now, whether or not one is due. Resolves when it is done or has failed, or after `stop`. */
  async snapshot(): Promise<void> {
    // Several callers may wait for the same one: after it, only the first of them starts its own at once.
    while (this.#running !== undefined) await this.#running;
    if (this.#isStopped) return;
    this.#running = this.#take().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  /**
   * Puts a copy of the index into a folder, with every write acknowledged until now, while reads and writes continue.
   * No snapshot is taken in the meantime: it would remove what is being copied.
   */
  async backUp(to: string): Promise<BackupFile[]> {
    while (this.#running !== undefined) await this.#running;
    const copied = this.#copy(to);
    this.#running = copied.then(
      () => {
        this.#running = undefined;
      },
      () => {
        this.#running = undefined;
      },
    );
    return copied;
  }

  /** Resolves when no snapshot is being taken. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Finishes the snapshot in progress, and takes no other one. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  /** Starts a new write-ahead log, writes what was before it as a snapshot, and serves from that. */
  async #take(): Promise<void> {
    const { dir, collection, groupCommit, fence, log, onSnapshot, onInstalled } = this.#options;
    const startedMs = performance.now();
    const items = collection.size;
    try {
      const { captured, coveredBytes } = await groupCommit.between(async () => {
        await fence();
        await this.rotateWal();
        const lastSequence = groupCommit.wal.end.sequence;
        return { captured: collection.capture(lastSequence), coveredBytes: this.#walBytes };
      });
      const generation = this.#generation;
      const snapshotDir = layout(dir).snapshot(generation);
      await collection.install(captured, await writeSnapshot(snapshotDir, captured, fence));
      await fence();
      await this.#removeBefore(this.#snapshotGeneration, generation);
      this.#snapshotGeneration = generation;
      this.#walBytes -= coveredBytes;
      this.#snapshotAtMs = Date.now();
      this.#reportJournal();
      this.#retryBytes = 0;
      onInstalled(snapshotDir);
      const durationMs = performance.now() - startedMs;
      onSnapshot?.({ ok: true, items, durationMs });
      log.info({ items, generation, durationMs: Math.round(durationMs) }, 'index: snapshot written');
    } catch (error) {
      this.#retryBytes = this.#walBytes + this.#options.snapshotBytes;
      onSnapshot?.({ ok: false, items, durationMs: performance.now() - startedMs });
      log.error(
        { err: error },
        'index: a snapshot could not be written; the write-ahead log keeps every write, and the next attempt follows when it has grown',
      );
    }
  }

  async #copy(to: string): Promise<BackupFile[]> {
    const { dir, groupCommit, fence } = this.#options;
    await groupCommit.between(async () => {
      await fence();
      // An empty log stays: every backup of an index that nobody writes would add another.
      if (groupCommit.wal.end.bytes > 0) await this.rotateWal();
    });
    return copyIndex(dir, to, { snapshot: this.#snapshotGeneration, newestWal: this.#generation });
  }

  /**
   * Continues in a new write-ahead log; to be called between two commits.
   * @throws the error of the disk; the old log is then still the one to write to
   */
  async rotateWal(): Promise<void> {
    const { dir, groupCommit } = this.#options;
    const old = groupCommit.wal;
    // A log that another one follows must end in its last acknowledged frame.
    await old.cut();
    groupCommit.wal = await createWal(dir, this.#generation + 1, old.end.sequence);
    this.#generation += 1;
    await old.close();
  }

  /** Keeps the snapshot before the newest, and the write-ahead logs since, to fall back to. */
  async #removeBefore(previous: number, newest: number): Promise<void> {
    const { dir } = this.#options;
    for (const name of await readdir(dir)) {
      const parsed = parseName(name);
      if (parsed === undefined || parsed.generation >= newest) continue;
      const { kind, generation } = parsed;
      const isSpare = kind === 'snapshot' ? generation === previous : generation >= previous;
      if (!isSpare) await rm(path.join(dir, name), { recursive: true, force: true });
    }
  }
}

/**
 * Creates a write-ahead log. Where it fails, an empty file may stay, which the next attempt replaces and a start
 * accepts: the log before it is continued.
 */
async function createWal(dir: string, generation: number, lastSequence: number): Promise<WriteAheadLog> {
  const file = layout(dir).wal(generation);
  await rm(file, { force: true });
  const wal = await WriteAheadLog.create(file, lastSequence);
  try {
    await syncDir(dir);
    return wal;
  } catch (error) {
    await wal.close();
    await rm(file, { force: true });
    throw error;
  }
}
