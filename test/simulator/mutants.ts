/** A defect planted into the build, that the simulator must notice. */
export interface Mutant {
  name: string;
  /** Of the build, below `dist/src`. */
  file: string;
  /** Occurs once. */
  code: string;
  replacement: string;
  /** The first history to run, for a defect that shows in one of many thousands. Default: 1. */
  first?: number;
}

const WAL = 'store/faiss/wal/wal.js';
const RECOVERY = 'store/faiss/recovery.js';
const SCHEDULER = 'store/faiss/snapshot/scheduler.js';
const COLLECTION = 'store/faiss/segment/collection.js';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a write is acknowledged without fsync',
    file: WAL,
    code: 'await this.#sync(() => this.#handle.datasync());',
    replacement: '',
  },
  {
    name: 'a write is acknowledged before it is committed',
    file: 'store/faiss/wal/group-commit.js',
    code: 'await this.wal.append(',
    replacement: 'void this.wal.append(',
  },
  {
    name: 'the checksum of a frame is not compared',
    file: WAL,
    code: 'frame.readUInt32LE(16) === frameChecksum(frame)',
    replacement: 'true',
  },
  {
    name: 'replay stops one frame early',
    file: WAL,
    code: 'if (payload === undefined)',
    replacement: 'if (payload === undefined || end.bytes + HEAD_BYTES + payload.length === size)',
  },
  {
    name: 'a failed write is not cut off',
    file: WAL,
    code: 'await this.#handle.truncate(this.#end.bytes);',
    replacement: '',
  },
  {
    name: 'what was read of a write-ahead log is not made durable',
    file: WAL,
    code: 'await wal.#handle.sync();',
    replacement: '',
  },
  {
    name: 'older frames after a torn one count as acknowledged',
    file: WAL,
    code: 'if (sequence <= torn)',
    replacement: 'if (false)',
  },
  {
    name: 'the names of new folders are not made durable',
    file: RECOVERY,
    code: 'await syncPath(dir);',
    replacement: '',
  },
  {
    name: 'only the newest write-ahead log may be torn, even when it is empty',
    file: RECOVERY,
    code: 'generation >= lastWritten',
    replacement: 'generation >= newest',
  },
  {
    name: 'the name of a new write-ahead log is not made durable',
    file: SCHEDULER,
    code: 'await syncDir(dir);',
    replacement: '',
  },
  {
    name: 'a new write-ahead log begins before the old one is cut',
    file: SCHEDULER,
    code: 'await old.cut();',
    replacement: '',
  },
  {
    name: 'a snapshot begins after close',
    file: SCHEDULER,
    code: 'if (this.#isStopped)',
    replacement: 'if (false)',
  },
  {
    name: 'the files of a snapshot are not synced before its manifest',
    file: 'store/faiss/snapshot/checksummed-file.js',
    code: 'await this.#handle.sync();',
    replacement: '',
  },
  {
    name: 'a snapshot replaces its predecessor before its name is durable',
    file: 'store/faiss/snapshot/writer.js',
    code: 'await syncDir(path.dirname(dir));',
    replacement: '',
  },
  {
    name: 'a write fails in memory after it is durable',
    file: COLLECTION,
    code: 'catch { }',
    replacement: 'catch (error) { throw error; }',
  },
  {
    name: 'a deletion that finds nothing does not cut off a refused write',
    file: 'store/faiss/wal/group-commit.js',
    code: 'await this.#settle();',
    replacement: '',
    first: 2_021_782,
  },
  {
    name: 'a deleted row is not forgotten',
    file: COLLECTION,
    code: 'this.#slots.delete(id);',
    replacement: '',
  },
];
