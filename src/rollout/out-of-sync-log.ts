import {
  closeSync,
  existsSync,
  fdatasync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

/** More are not remembered one by one: with so many, the second index has to be made again anyway. */
const MAX_IDS = 100_000;
/** Lines about items that are level again are thrown away when the file is this long. */
const COMPACT_BYTES = 1_000_000;

interface Entry {
  /** Writes under way. */
  writing: number;
  /** The latest write, by number. */
  latest: number;
  missed: boolean;
}

/** One write of one item, from before the first index has it until the second does, or has failed to. */
export interface Write {
  /** Called at the moment the first index is told: from here on, earlier writes of the item are superseded. */
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
 * The items in which one index may differ from another that it should equal. A write is marked before it begins and
 * the mark goes when both have it, so that what a killed process left between them is known afterwards: the file
 * has a line for every mark that came (`+"id"`) or went (`-"id"`).
 */
export class MissedItems {
  private readonly entries = new Map<string, Entry>();
  private writes = 0;
  private missedCount = 0;
  private bytes = 0;

  private constructor(
    private readonly file: string,
    private fd: number,
  ) {}

  static open(file: string): MissedItems {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
    const marked = new Set<string>();
    for (const line of lines) {
      if (line.startsWith('+')) marked.add(line.slice(1));
      else marked.delete(line.slice(1));
    }
    const items = new MissedItems(file, openSync(file, 'a'));
    for (const id of marked) items.entries.set(JSON.parse(id) as string, { writing: 0, latest: 0, missed: true });
    items.missedCount = marked.size;
    items.compact();
    return items;
  }

  /** How many items are known to differ; writes under way are not counted. */
  get count(): number {
    return this.missedCount;
  }

  /** Some of their ids. */
  ids(limit: number): string[] {
    const ids: string[] = [];
    for (const [id, { missed }] of this.entries) {
      if (ids.length === limit) break;
      if (missed) ids.push(id);
    }
    return ids;
  }

  begin(id: string): Write {
    const entry = this.entries.get(id) ?? this.mark(id);
    const number = ++this.writes;
    let ordered = false;
    entry.writing++;
    return {
      order: () => {
        ordered = true;
        entry.latest = number;
      },
      get isLatest() {
        return entry.latest === number;
      },
      done: () => this.end(id, entry, entry.latest === number ? false : entry.missed),
      miss: () => {
        // An overtaken write is of no account: the one that overtook it decides.
        this.end(id, entry, entry.latest === number || entry.missed);
        // It must be known after a power cut, too.
        fdatasync(this.fd, () => {});
      },
      // What an index did with a write that failed on its way to the disk is not known.
      abandon: () => this.end(id, entry, entry.missed || ordered),
    };
  }

  close(): void {
    closeSync(this.fd);
  }

  private mark(id: string): Entry {
    const entry: Entry = { writing: 0, latest: 0, missed: false };
    if (this.entries.size >= MAX_IDS) return entry;
    this.entries.set(id, entry);
    this.append(`+${JSON.stringify(id)}\n`);
    return entry;
  }

  private end(id: string, entry: Entry, missed: boolean): void {
    entry.writing--;
    this.missedCount += Number(missed) - Number(entry.missed);
    entry.missed = missed;
    if (entry.writing > 0 || missed || !this.entries.delete(id)) return;
    this.append(`-${JSON.stringify(id)}\n`);
    if (this.bytes > COMPACT_BYTES && this.bytes > 100 * this.entries.size) this.compact();
  }

  private append(line: string): void {
    this.bytes += writeSync(this.fd, line);
  }

  /** Replaces the file by one with the marks of now alone. */
  private compact(): void {
    const marks = [...this.entries.keys()].map((id) => `+${JSON.stringify(id)}\n`).join('');
    writeFileSync(`${this.file}.tmp`, marks);
    renameSync(`${this.file}.tmp`, this.file);
    closeSync(this.fd);
    this.fd = openSync(this.file, 'a');
    this.bytes = marks.length;
  }
}
