import path from 'node:path';
import type { Dice } from './dice.js';
import { Disk, SimFile, SimFolder, type SimNode } from './disk.js';
import { type CallKind, codeOf, type Fault, FaultPlan, systemError } from './faults.js';

/** Every path below it is on the simulated disk. */
export const MOUNT = '/simulated';

/** Simulated descriptors are larger: no real one is. */
export const FIRST_DESCRIPTOR = 1_000_000;

/** Thrown by calls of a process that has ended. */
export class ProcessEnded extends Error {}

export interface Descriptor {
  node: SimNode;
  file: string;
}

/** Bytes that a name takes in a folder. */
const NAME_BYTES = 64;

/**
 * The file calls of one simulated machine, by the names that they have in `node:fs`. Every one may be struck by the
 * fault that is armed.
 */
export class FileCalls {
  readonly #disk = new Disk();
  readonly #plan = new FaultPlan();
  /** To be replaced before each step: what a step does must not depend on the steps before it. */
  dice: Dice;
  count = 0;
  #ended: 'power-cut' | 'kill' | undefined;
  /** Calls of an earlier life of the process never return. */
  #life = 0;
  #queue: (() => void)[] = [];
  #descriptors = new Map<number, Descriptor>();
  #nextDescriptor = FIRST_DESCRIPTOR;

  constructor(dice: Dice) {
    this.dice = dice;
    this.mkdir(MOUNT, false);
    this.#disk.syncFolder(this.#disk.root);
  }

  arm(fault: Fault | undefined): void {
    this.#plan.arm(fault, this.dice);
  }

  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  get openFiles(): string[] {
    return [...this.#descriptors.values()].map(({ file }) => file);
  }

  /** Ends the process between two calls. */
  end(how: 'power-cut' | 'kill'): void {
    this.#ended = how;
  }

  /** Starts the next life of a process that has ended. */
  restart(): void {
    if (this.#ended === 'power-cut') this.#disk.powerCut(this.dice);
    this.#ended = undefined;
    this.#life += 1;
    this.#queue = [];
    this.#descriptors = new Map();
  }

  /** Runs calls one per turn of the event loop, in an order that the seed decides, as a thread pool may. */
  later<T>(work: () => T): Promise<T> {
    const life = this.#life;
    return new Promise((resolve, reject) => {
      const run = () => {
        try {
          const result = work();
          if (this.#isAlive(life)) resolve(result);
        } catch (error) {
          if (this.#isAlive(life)) reject(error);
        }
      };
      if (!this.#isAlive(life)) return;
      this.#queue.push(run);
      if (this.#queue.length === 1) setImmediate(() => this.#runOne(life));
    });
  }

  #isAlive(life: number): boolean {
    return life === this.#life && this.#ended === undefined;
  }

  #runOne(life: number): void {
    if (!this.#isAlive(life)) return;
    const [run] = this.#queue.splice(this.dice.below(this.#queue.length), 1);
    run?.();
    if (this.#queue.length > 0) setImmediate(() => this.#runOne(life));
  }

  open(file: string, flags: string): number {
    const creates = /[wa]/.test(flags);
    let node = this.#find(file);
    this.#enter('open', 'open', file);
    if (node === undefined) {
      if (!creates) throw systemError('ENOENT', 'open', file);
      const made = new SimFile();
      this.#create('open', file, () => this.#disk.link(this.#folderOf(file), path.basename(file), made));
      node = made;
    } else if (flags.includes('x')) throw systemError('EEXIST', 'open', file);
    else if (flags !== 'r') {
      this.#enter('remove', 'open', file);
      if (flags.startsWith('w')) (node as SimFile).truncate(0);
    }
    this.#descriptors.set(++this.#nextDescriptor, { node, file });
    return this.#nextDescriptor;
  }

  close(fd: number): void {
    const { file } = this.#descriptor(fd, 'close');
    this.#descriptors.delete(fd);
    this.#enter('close', 'close', file);
  }

  read(fd: number, position: number, length: number): Buffer {
    const { node, file } = this.#descriptor(fd, 'read');
    this.#enter('read', 'read', file);
    return (node as SimFile).read(position, length);
  }

  readFile(file: string): Buffer {
    const fd = this.open(file, 'r');
    try {
      return Buffer.from(this.read(fd, 0, this.size(fd)));
    } finally {
      this.close(fd);
    }
  }

  /** @returns the number of bytes written */
  write(fd: number, position: number, bytes: Uint8Array): number {
    const { node, file } = this.#descriptor(fd, 'write');
    const target = node as SimFile;
    const inPart = () => target.write(position, bytes.subarray(0, this.dice.below(bytes.length + 1)));
    const isFull = this.#enter('write', 'write', file, inPart) === 'full';
    const written = isFull ? this.#plan.takeRoom(bytes.length) : bytes.length;
    if (written === 0 && bytes.length > 0) throw systemError('ENOSPC', 'write', file);
    target.write(position, bytes.subarray(0, written));
    return written;
  }

  truncate(fd: number, length: number): void {
    const { node, file } = this.#descriptor(fd, 'ftruncate');
    const change = () => (node as SimFile).truncate(length);
    this.#enter('remove', 'ftruncate', file, change);
    change();
  }

  sync(fd: number): void {
    const { node, file } = this.#descriptor(fd, 'fsync');
    const fails = () => {
      if (node instanceof SimFile) node.failSync(this.dice);
      else this.#disk.failSyncFolder(node, this.dice);
    };
    this.#enter('sync', 'fsync', file, fails);
    if (node instanceof SimFile) node.sync();
    else this.#disk.syncFolder(node);
  }

  size(fd: number): number {
    const { node, file } = this.#descriptor(fd, 'fstat');
    this.#enter('look', 'fstat', file);
    return (node as SimFile).size;
  }

  stat(file: string): { size: number; isDirectory: boolean } {
    this.#enter('look', 'stat', file);
    const node = this.#get(file, 'stat');
    return { size: node instanceof SimFile ? node.size : 0, isDirectory: node instanceof SimFolder };
  }

  readdir(file: string): string[] {
    this.#enter('look', 'scandir', file);
    const node = this.#get(file, 'scandir');
    if (!(node instanceof SimFolder)) throw systemError('ENOTDIR', 'scandir', file);
    return [...node.names.keys()].sort();
  }

  /** @returns the first folder made; undefined where all were there */
  mkdir(file: string, recursive: boolean): string | undefined {
    if (this.#find(file) !== undefined) {
      if (recursive) return undefined;
      throw systemError('EEXIST', 'mkdir', file);
    }
    const above = recursive && file !== '/' ? this.mkdir(path.dirname(file), true) : undefined;
    this.#create('mkdir', file, () => this.#disk.link(this.#folderOf(file), path.basename(file), new SimFolder()));
    return above ?? file;
  }

  rename(from: string, to: string): void {
    this.#get(from, 'rename');
    const change = () => this.#disk.rename(this.#folderOf(from), path.basename(from), path.basename(to));
    this.#create('rename', from, change);
  }

  /** As `rm` with `force` and `recursive`: one call per name. */
  rm(file: string): void {
    const node = this.#find(file);
    if (node === undefined) {
      this.#enter('look', 'unlink', file);
      return;
    }
    if (node instanceof SimFolder) for (const name of [...node.names.keys()]) this.rm(path.join(file, name));
    const change = () => this.#disk.unlink(this.#folderOf(file), path.basename(file));
    this.#enter('remove', 'unlink', file, change);
    change();
  }

  #create(call: string, file: string, change: () => void): void {
    const fault = this.#enter('create', call, file, change);
    if (fault === 'full' && this.#plan.takeRoom(NAME_BYTES) < NAME_BYTES) throw systemError('ENOSPC', call, file);
    change();
  }

  /**
   * Counts a call and lets the armed fault strike it.
   * @param effect what the call does although it fails, by the seed; always where it is a sync
   * @returns 'full' where the disk is full: the call decides what there is room for
   */
  #enter(kind: CallKind, call: string, file: string, effect?: () => void): 'full' | undefined {
    if (this.#ended !== undefined) throw new ProcessEnded();
    this.count += 1;
    const fault = this.#plan.strike(kind);
    if (fault === undefined || fault === 'full') return fault;
    if (fault === 'sync-error' || (fault !== 'read-only' && this.dice.chance(0.5))) effect?.();
    if (fault !== 'power-cut' && fault !== 'kill') throw systemError(codeOf(fault), call, file);
    this.#ended = fault;
    throw new ProcessEnded();
  }

  #descriptor(fd: number, call: string): Descriptor {
    if (this.#ended !== undefined) throw new ProcessEnded();
    const found = this.#descriptors.get(fd);
    if (found === undefined) throw systemError('EBADF', call, String(fd));
    return found;
  }

  #find(file: string): SimNode | undefined {
    let node: SimNode | undefined = this.#disk.root;
    for (const name of file.split('/').filter(Boolean)) {
      if (!(node instanceof SimFolder)) return undefined;
      node = node.names.get(name);
    }
    return node;
  }

  #get(file: string, call: string): SimNode {
    const node = this.#find(file);
    if (node === undefined) throw systemError('ENOENT', call, file);
    return node;
  }

  #folderOf(file: string): SimFolder {
    const folder = this.#get(path.dirname(file), 'open');
    if (!(folder instanceof SimFolder)) throw systemError('ENOTDIR', 'open', file);
    return folder;
  }
}
