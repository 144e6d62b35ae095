import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { Problem } from '../common/errors.js';
import type { Config } from '../config.js';
import { errorCode, makeDir, syncDir, writeFileAtomically } from '../lib/fs.js';
import { StateFile } from '../rollout/state-file.js';
import { writeProblem } from '../store/disk-errors.js';
import type { BackupFile, VectorStore } from '../store/vector-store.js';
import { BACKUP_MANIFEST, readManifest, writeManifest } from './manifest.js';

/** An open index, by the name of its folder. */
export interface BackedUpIndex {
  index: string;
  store: VectorStore;
}

export interface BackupOptions {
  /** Of its folder; the time when there is none. */
  name?: string | undefined;
  /** How many backups to keep, this one included; all of them when undefined. */
  keep?: number | undefined;
}

export interface Backup {
  name: string;
  createdAt: Date;
  indexes: string[];
  files: number;
  bytes: number;
  /** Names of the older backups that were removed for it. */
  removed: string[];
}

/** Also keeps a name inside the folder of backups. */
export const BACKUP_NAME = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$';
const TEMPORARY = '.tmp';
/** A rollout's state, as DATA_DIR has it. */
const ROLLOUT = 'rollout';

/** The folder of backups that the settings name. */
export const backupFolder = ({ BACKUP_DIR, DATA_DIR }: Pick<Config, 'BACKUP_DIR' | 'DATA_DIR'>): string =>
  path.resolve(BACKUP_DIR === '' ? path.join(DATA_DIR, 'backups') : BACKUP_DIR);

/**
 * Backups: each a folder that can take the place of DATA_DIR. It is written under a temporary name and renamed when all
 * of it is on the disk.
 */
export class Backups {
  private readonly folder: string;
  private readonly state: StateFile;
  private isRunning = false;

  constructor(config: Pick<Config, 'BACKUP_DIR' | 'DATA_DIR'>) {
    this.folder = backupFolder(config);
    this.state = new StateFile(path.join(config.DATA_DIR, ROLLOUT));
  }

  /**
   * Backs up open indexes while they are read and written.
   * @throws Problem `invalid_request`, `conflict` (the name is taken, or a backup is being made), `disk_full`,
   *   `store_unavailable`; no part of the backup stays then
   */
  async create(indexes: readonly BackedUpIndex[], { name, keep }: BackupOptions = {}): Promise<Backup> {
    if (this.isRunning) throw new Problem('conflict', 'A backup is being made. Try again when it is done.');
    this.isRunning = true;
    try {
      return await this.write(indexes, name ?? timeAsName(new Date()), keep);
    } catch (error) {
      throw writeProblem(error);
    } finally {
      this.isRunning = false;
    }
  }

  private async write(indexes: readonly BackedUpIndex[], name: string, keep?: number): Promise<Backup> {
    if (!new RegExp(BACKUP_NAME).test(name) || name.endsWith(TEMPORARY))
      throw new Problem(
        'invalid_request',
        `The name of a backup has letters, digits, ".", "_" and "-"; not "${name}".`,
      );
    const target = path.join(this.folder, name);
    await makeDir(this.folder);
    if (await exists(target)) throw new Problem('conflict', `There is already a backup "${name}".`);
    await this.removeLeftovers();
    const temporary = `${target}${TEMPORARY}`;
    const createdAt = new Date();
    try {
      const files = await this.fill(temporary, indexes);
      await writeManifest(temporary, files, createdAt);
      await rename(temporary, target);
      await syncDir(this.folder);
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      const removed = keep === undefined ? [] : await this.removeOldest(name, keep);
      return { name, createdAt, indexes: indexes.map(({ index }) => index), files: files.length, bytes, removed };
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  private async fill(folder: string, indexes: readonly BackedUpIndex[]): Promise<BackupFile[]> {
    const files: BackupFile[] = [];
    await mkdir(path.join(folder, 'index'), { recursive: true });
    for (const { index, store } of indexes) {
      if (store.backUp === undefined)
        throw new Problem('invalid_request', 'A backup needs STORE=faiss. Back up the vector server by its own means.');
      const copied = await store.backUp(path.join(folder, 'index', index));
      files.push(...copied.map((file) => ({ ...file, file: `index/${index}/${file.file}` })));
    }
    await syncDir(path.join(folder, 'index'));
    const state = await this.state.forBackup();
    if (state !== undefined) {
      await mkdir(path.join(folder, ROLLOUT));
      await writeFileAtomically(path.join(folder, ROLLOUT, 'state.json'), state);
      files.push({ file: `${ROLLOUT}/state.json`, bytes: Buffer.byteLength(state), crc32: crc32(state) });
    }
    await syncDir(folder);
    return files;
  }

  /** What an interrupted backup left. */
  private async removeLeftovers(): Promise<void> {
    for (const entry of await readdir(this.folder, { withFileTypes: true }))
      if (entry.isDirectory() && entry.name.endsWith(TEMPORARY))
        await rm(path.join(this.folder, entry.name), { recursive: true });
  }

  /** @returns the names of the backups that were removed; what is no backup stays */
  private async removeOldest(newest: string, keep: number): Promise<string[]> {
    const others: { name: string; createdAt: string }[] = [];
    for (const { name } of (await readdir(this.folder, { withFileTypes: true })).filter((e) => e.isDirectory())) {
      // A damaged one is for its owner to look at.
      const manifest = await readManifest(path.join(this.folder, name)).catch(() => undefined);
      if (manifest !== undefined && name !== newest) others.push({ name, createdAt: manifest.created_at });
    }
    others.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
    const removed = others.slice(Math.max(0, keep - 1)).map(({ name }) => name);
    for (const name of removed) {
      // Without its manifest, a backup of which a crash leaves a part is not taken for a whole one.
      await rm(path.join(this.folder, name, BACKUP_MANIFEST));
      await rename(path.join(this.folder, name), path.join(this.folder, `${name}${TEMPORARY}`));
      await rm(path.join(this.folder, `${name}${TEMPORARY}`), { recursive: true });
    }
    return removed;
  }
}

const timeAsName = (time: Date): string => time.toISOString().replace(/[:.]/g, '-');

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    (error: unknown) => {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    },
  );
