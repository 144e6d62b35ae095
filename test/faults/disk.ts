import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** `FAULT_SEED=4711 npx vitest run test/faults` repeats a run; `FAULT_ROUNDS` makes it longer. */
export const SEED = Number(process.env.FAULT_SEED ?? 19);
export const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 12);

/** What breaks, and the status of writes that it refuses. */
export const FAULTS = [
  { code: 'ENOSPC', calls: 'write', status: 507 },
  { code: 'EROFS', calls: 'write', status: 503 },
  { code: 'EIO', calls: 'write', status: 503 },
  { code: 'EIO', calls: 'sync', status: 503 },
  { code: 'EMFILE', calls: 'open', status: 503 },
] as const;

export interface Fault {
  code: string;
  calls: string;
  /** Files in it, at any depth, fail. */
  folder: string;
  /** That a call fails; 1 for every call. */
  probability: number;
  seed: number;
}

/** A folder, and a disk under it that breaks for the processes that run with `inject.mjs`. */
export class FaultyDisk {
  /** Arguments of Node, for a process that is to suffer from it. */
  readonly nodeOptions = ['--import', path.resolve('test/faults/inject.mjs')];

  private constructor(readonly folder: string) {}

  static async open(): Promise<FaultyDisk> {
    const disk = new FaultyDisk(await mkdtemp(path.join(tmpdir(), 'onespace-faults-')));
    await disk.mend();
    return disk;
  }

  /** Settings of such a process. */
  get env(): { FAULT_PLAN: string } {
    return { FAULT_PLAN: path.join(this.folder, 'plan.json') };
  }

  path(...names: string[]): string {
    return path.join(this.folder, ...names);
  }

  async break(fault: Fault): Promise<void> {
    await writeFile(this.env.FAULT_PLAN, JSON.stringify(fault));
  }

  async mend(): Promise<void> {
    await writeFile(this.env.FAULT_PLAN, '{}');
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}
