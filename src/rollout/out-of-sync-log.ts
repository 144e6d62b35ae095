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
import { isDiskFull } from '../lib/fs.js';

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
 * The items in which the second index may differ from the first. An item is marked before it is written, and the mark
 * is removed when both indexes have the write, so that a crash between the two leaves the mark: the file has a line
 * for each mark that was added (`+"id"`) or removed (`-"id"`).
 */
export class OutOfSyncLog {
  private readonly entries = new Map<string, Entry>();
  private writes = 0;
  private outOfSyncCount = 0;
  private bytes = 0;

  private constructor(
    private readonly file: string,
    private fd: number,
  ) {}

  static open(file: string): OutOfSyncLog {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
    const marked = new Set<string>();
    for (const line of lines) {
      if (line.startsWith('+')) marked.add(line.slice(1));
      else marked.delete(line.slice(1));
    }
    const log = new OutOfSyncLog(file, openSync(file, 'a'));
    for (const id of marked) log.entries.set(JSON.parse(id) as string, { pending: 0, latest: 0, isOutOfSync: true });
    log.outOfSyncCount = marked.size;
    try {
      log.compact();
    } catch (error) {
      // On a full disk the longer file is as right.
      if (!isDiskFull(error)) throw error;
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

  begin(id: string): TrackedWrite {
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
      miss: () => {
        // A superseded write does not count: the one that superseded it decides.
        this.end(id, entry, entry.latest === number || entry.isOutOfSync);
        // The mark must survive a power cut.
        fdatasync(this.fd, () => {});
      },
      // Whether the first index has a write that failed on its way to the disk is not known.
      abandon: () => this.end(id, entry, entry.isOutOfSync || ordered),
    };
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

  /** @throws the error of the disk; the file then ends where it ended before */
  private append(line: string): void {
    try {
      writeAll(this.fd, line);
    } catch (error) {
      ftruncateSync(this.fd, this.bytes);
      throw error;
    }
    this.bytes += Buffer.byteLength(line);
  }

  /** Replaces the file by one with the current marks alone. */
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
  }
}

/** One `write` may write less without an error. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
}
