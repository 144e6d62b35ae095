import {
  closeSync,
  existsSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

/** Stands for items whose ids are not known; no item can have this id. */
export const SOME_ITEMS = '\u0000';
/** More ids are not recorded: with so many, the second index must be rebuilt anyway. */
const MAX_IDS = 100_000;
/** The file is compacted when it is longer than this: lines of items that are in sync again are dropped. */
const COMPACT_BYTES = 1_000_000;

interface Entry {
  /** Writes under way. */
  pending: number;
  /** Number of the latest write. */
  latest: number;
  isOutOfSync: boolean;
}

/** One write of one item: from before the first index has it until the second has it too, or has failed to take it. */
export interface TrackedWrite {
  /** To be called when the first index receives the write: it supersedes earlier writes of the item. */
  order(): void;
  readonly isLatest: boolean;
  /** The second index has it too. */
  done(): void;
  /** The second index does not have it. */
  miss(): void;
  /** The first index refused it. */
  abandon(): void;
}

/**
 * The items in which the second index may differ from the first. An item is marked, and the mark is on the disk, before
 * it is written; the mark is removed when both indexes have the write. So a crash or a power cut between the two leaves
 * the mark. The file has a line for each mark that was added (`+"id"`) or removed (`-"id"`).
 */
export class OutOfSyncLog {
  private readonly entries = new Map<string, Entry>();
  private writes = 0;
  private outOfSyncCount = 0;
  /** Of the lines that are whole. */
  private bytes = 0;
  /** There may be bytes of a failed write after them. */
  private isTorn = false;
  /** A sync has failed, so that which lines are on the disk is unknown. */
  private isSuspect = false;
  /** The sync that has not begun yet: it will include every line there is now. */
  private nextSync: Promise<void> | undefined;
  private lastSync: Promise<void> = Promise.resolve();

  private constructor(
    private readonly file: string,
    private fd: number,
  ) {}

  /** A new log, without marks. @throws the error of the disk */
  static create(file: string): OutOfSyncLog {
    rmSync(file, { force: true });
    return OutOfSyncLog.open(file);
  }

  /** The log that is there, or a new one. @throws the error of the disk */
  static open(file: string): OutOfSyncLog {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    const marked = new Set<string>();
    for (const line of whole.split('\n').slice(0, -1)) {
      if (line.startsWith('+')) marked.add(line.slice(1));
      else marked.delete(line.slice(1));
    }
    const log = new OutOfSyncLog(file, openSync(file, 'a'));
    for (const mark of marked) log.entries.set(idOf(mark), { pending: 0, latest: 0, isOutOfSync: true });
    log.outOfSyncCount = log.entries.size;
    log.bytes = Buffer.byteLength(whole);
    log.isTorn = whole.length < text.length;
    try {
      log.compact();
    } catch {
      // The longer file is as right.
    }
    return log;
  }

  /** Items known to be out of sync; writes under way are not counted. */
  get count(): number {
    return this.outOfSyncCount;
  }

  /** At most `limit` of their ids. */
  ids(limit: number): string[] {
    const ids: string[] = [];
    for (const [id, { isOutOfSync }] of this.entries) {
      if (ids.length === limit) break;
      if (isOutOfSync) ids.push(id);
    }
    return ids;
  }

  /**
   * Marks items that are about to be written: all of them, or none. They may be written once `sync` says so.
   * @throws the error of the disk
   */
  begin(ids: Iterable<string>): Map<string, TrackedWrite> {
    const begun = new Map<string, TrackedWrite>();
    try {
      for (const id of ids) if (!begun.has(id)) begun.set(id, this.beginOne(id));
      return begun;
    } catch (error) {
      for (const write of begun.values()) write.abandon();
      throw error;
    }
  }

  /** Resolves when every mark made until now is on the disk. @throws the error of the disk */
  sync(): Promise<void> {
    this.nextSync ??= this.lastSync
      .catch(() => {})
      .then(() => {
        this.nextSync = undefined;
        this.lastSync = this.syncNow();
        return this.lastSync;
      });
    return this.nextSync;
  }

  private async syncNow(): Promise<void> {
    // What a failed sync left out, no later one would write.
    if (this.isSuspect) return this.compact();
    const { fd } = this;
    try {
      await promisify(fdatasync)(fd);
    } catch (error) {
      if (fd === this.fd) {
        this.isSuspect = true;
        throw error;
      }
    }
    // The file was replaced meanwhile, which syncs the marks as well, but did not succeed.
    if (this.isSuspect) this.compact();
  }

  private beginOne(id: string): TrackedWrite {
    const entry = this.entries.get(id) ?? this.mark(id);
    const number = ++this.writes;
    let ordered = false;
    entry.pending++;
    return {
      order: () => {
        ordered = true;
        entry.latest = number;
      },
      get isLatest() {
        return entry.latest === number;
      },
      done: () => this.end(id, entry, entry.latest === number ? false : entry.isOutOfSync),
      // A superseded write does not count: the one that superseded it decides.
      miss: () => this.end(id, entry, entry.latest === number || entry.isOutOfSync),
      // Whether the first index has a write that failed on its way to the disk is not known.
      abandon: () => this.end(id, entry, entry.isOutOfSync || ordered),
    };
  }

  /** Removes every mark, while no write is under way. */
  clear(): void {
    this.entries.clear();
    this.outOfSyncCount = 0;
    try {
      this.compact();
    } catch {
      // Marks that stay in the file count their items as out of sync after a restart.
    }
  }

  /** Closes the log of a rollout that has ended. */
  remove(): void {
    this.close();
    try {
      rmSync(this.file, { force: true });
    } catch {
      // The next rollout removes it, or does not start.
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private mark(id: string): Entry {
    const entry: Entry = { pending: 0, latest: 0, isOutOfSync: false };
    if (this.entries.size >= MAX_IDS) return entry;
    this.append(`+${JSON.stringify(id)}\n`);
    this.entries.set(id, entry);
    return entry;
  }

  private end(id: string, entry: Entry, isOutOfSync: boolean): void {
    entry.pending--;
    this.outOfSyncCount += Number(isOutOfSync) - Number(entry.isOutOfSync);
    entry.isOutOfSync = isOutOfSync;
    if (entry.pending > 0 || isOutOfSync || !this.entries.delete(id)) return;
    try {
      this.append(`-${JSON.stringify(id)}\n`);
      if (this.bytes > COMPACT_BYTES && this.bytes > 100 * this.entries.size) this.compact();
    } catch {
      // Both indexes have the write. A mark that stays in the file counts the item as out of sync after a restart.
    }
  }

  /** @throws the error of the disk; nothing of the line is read back then */
  private append(line: string): void {
    this.cut();
    this.isTorn = true;
    try {
      writeAll(this.fd, line);
    } catch (error) {
      try {
        this.cut();
      } catch {
        // The next append tries it again.
      }
      throw error;
    }
    this.isTorn = false;
    this.bytes += Buffer.byteLength(line);
  }

  /** Cuts off what a failed write left. @throws the error of the disk */
  private cut(): void {
    if (!this.isTorn) return;
    ftruncateSync(this.fd, this.bytes);
    this.isTorn = false;
  }

  /** Replaces the file by one with the current marks alone, which are on the disk then. @throws the error of the disk */
  private compact(): void {
    const marks = [...this.entries.keys()].map((id) => `+${JSON.stringify(id)}\n`).join('');
    const temporary = `${this.file}.tmp`;
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, 'a');
    try {
      writeAll(fd, marks);
      fsyncSync(fd);
      renameSync(temporary, this.file);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(this.fd);
    this.fd = fd;
    this.bytes = Buffer.byteLength(marks);
    this.isTorn = false;
    // Until its name is on the disk too, a power cut would bring the old file back, without what follows.
    this.isSuspect = true;
    syncDirSync(path.dirname(this.file));
    this.isSuspect = false;
  }
}

/** The id of a mark; of one that is damaged, some item. */
function idOf(mark: string): string {
  try {
    return String(JSON.parse(mark));
  } catch {
    return SOME_ITEMS;
  }
}

function syncDirSync(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** One `write` may write less without an error. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
}
