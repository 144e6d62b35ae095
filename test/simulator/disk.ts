import type { Dice } from './dice.js';

/**
 * A disk with a cache above it, as a process sees it through the calls of POSIX. What survives a power cut:
 *
 * 1. Bytes written and not synced, by page of 4,096: each page is kept, lost or torn. Of a torn page each sector of
 *    512 bytes is kept or lost; a sector is never half written, and bytes around the written ones never change.
 * 2. The length of a file: any that it has had since it was last synced. Where it grew over bytes that were
 *    lost, there are zeros, or garbage: random bytes, or older bytes of the same file.
 * 3. Names created, renamed or removed since their folder was synced: by the seed either the first n of all of them
 *    (a journal, as of ext4) or any of them (POSIX). A rename happens whole or not at all. Syncing a file does not
 *    keep its name; syncing a folder does not keep the folder's own name.
 * 4. `fsync` and `fdatasync` keep the bytes and the length; that of a folder keeps its names.
 * 5. After a failed sync each page that was to be written is on the disk or not, and counts as written: the next sync
 *    succeeds without it. By the seed the cache keeps the new bytes (ext4) or returns to those of the disk (btrfs).
 *    Source: Rebello et al. 2020, Can Applications Recover from fsync Failures?
 *    https://www.usenix.org/conference/atc20/presentation/rebello.
 *
 * A killed process loses none of it: the cache is the kernel's.
 */
const PAGE_BYTES = 4096;
const SECTOR_BYTES = 512;

export class SimFile {
  /** What the process reads. */
  #cached: Buffer = Buffer.alloc(0);
  /** What is on the disk. */
  #stable: Buffer = Buffer.alloc(0);
  readonly #dirty = new Set<number>();
  /** Lengths since the last sync. */
  #lengths: number[] = [];

  get size(): number {
    return this.#cached.length;
  }

  read(position: number, length: number): Buffer {
    return this.#cached.subarray(position, position + length);
  }

  write(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    if (end > this.size) this.#resize(end);
    this.#cached.set(bytes, position);
    this.#markDirty(position, end);
  }

  truncate(length: number): void {
    const before = this.size;
    if (length === before) return;
    this.#resize(length);
    for (const page of this.#dirty) if (page * PAGE_BYTES >= length) this.#dirty.delete(page);
    // The kernel zeroes the rest of the last page.
    if (length % PAGE_BYTES !== 0) this.#markDirty(length, length + 1);
  }

  sync(): void {
    this.#stable = Buffer.from(this.#cached);
    this.#dirty.clear();
    this.#lengths = [];
  }

  failSync(dice: Dice): void {
    const cached = this.#cached;
    this.#stable = this.#afterLoss(dice, 'zeros');
    if (dice.chance(0.3)) {
      this.#cached = Buffer.alloc(cached.length);
      this.#stable.copy(this.#cached);
    }
    this.#dirty.clear();
    this.#lengths = this.#stable.length === cached.length ? [] : [cached.length];
  }

  loseUnsynced(dice: Dice): void {
    this.#cached = this.#afterLoss(dice, dice.pick(['zeros', 'noise', 'stale']));
    this.sync();
  }

  #resize(length: number): void {
    const resized = Buffer.alloc(length);
    this.#cached.copy(resized);
    this.#cached = resized;
    this.#lengths.push(length);
  }

  #markDirty(from: number, until: number): void {
    for (let page = Math.floor(from / PAGE_BYTES); page * PAGE_BYTES < until; page++) this.#dirty.add(page);
  }

  #afterLoss(dice: Dice, fill: 'zeros' | 'noise' | 'stale'): Buffer {
    const left = Buffer.alloc(dice.pick([this.#stable.length, this.size, ...this.#lengths]));
    this.#stable.copy(left);
    const grownFrom = Math.min(this.#stable.length, left.length);
    if (fill === 'noise') for (let at = grownFrom; at < left.length; at++) left[at] = dice.below(256);
    if (fill === 'stale' && grownFrom > 0)
      for (let at = grownFrom; at < left.length; at += grownFrom) this.#stable.copy(left, at, 0, grownFrom);
    // All, none or some: each is a frequent case of its own.
    const kept = dice.pick([0, 0.5, 0.5, 1]);
    for (const page of [...this.#dirty].sort((a, b) => a - b)) {
      const isTorn = dice.chance(0.5);
      const isPageKept = dice.chance(kept);
      for (let at = page * PAGE_BYTES; at < (page + 1) * PAGE_BYTES; at += SECTOR_BYTES)
        if (isTorn ? dice.chance(0.5) : isPageKept)
          this.#cached.subarray(at, at + SECTOR_BYTES).copy(left, Math.min(at, left.length));
    }
    return left;
  }
}

export class SimFolder {
  /** What the process sees. */
  names = new Map<string, SimNode>();
  /** What is on the disk. */
  stable = new Map<string, SimNode>();
}

export type SimNode = SimFile | SimFolder;

/** A change of names that is not synced yet: those removed, then those added. */
interface NameChange {
  folder: SimFolder;
  removed: string;
  added?: { name: string; node: SimNode };
}

/** A tree of files, and what of it is on the disk. */
export class Disk {
  readonly root = new SimFolder();
  #changes: NameChange[] = [];

  /** Adds a name, or replaces what has it. */
  link(folder: SimFolder, name: string, node: SimNode): void {
    this.#change({ folder, removed: name, added: { name, node } });
  }

  unlink(folder: SimFolder, name: string): void {
    this.#change({ folder, removed: name });
  }

  rename(folder: SimFolder, from: string, to: string): void {
    this.#change({ folder, removed: from, added: { name: to, node: folder.names.get(from) as SimNode } });
  }

  syncFolder(folder: SimFolder): void {
    folder.stable = new Map(folder.names);
    this.#changes = this.#changes.filter((change) => change.folder !== folder);
  }

  /** The first of the folder's changes of names are on the disk; the next sync tries the others again. */
  failSyncFolder(folder: SimFolder, dice: Dice): void {
    const changes = this.#changes.filter((change) => change.folder === folder);
    const done = new Set(changes.slice(0, dice.below(changes.length + 1)));
    for (const change of done) apply(change, folder.stable);
    this.#changes = this.#changes.filter((change) => !done.has(change));
  }

  powerCut(dice: Dice): void {
    const isOrdered = dice.chance(0.5);
    const first = dice.below(this.#changes.length + 1);
    this.#changes.forEach((change, i) => {
      if (isOrdered ? i < first : dice.chance(0.5)) apply(change, change.folder.stable);
    });
    this.#changes = [];
    loseUnsynced(this.root, dice);
  }

  #change(change: NameChange): void {
    apply(change, change.folder.names);
    this.#changes.push(change);
  }
}

function apply({ removed, added }: NameChange, names: Map<string, SimNode>): void {
  names.delete(removed);
  if (added !== undefined) names.set(added.name, added.node);
}

function loseUnsynced(node: SimNode, dice: Dice): void {
  if (node instanceof SimFile) node.loseUnsynced(dice);
  else {
    node.names = new Map(node.stable);
    for (const child of node.names.values()) loseUnsynced(child, dice);
  }
}
