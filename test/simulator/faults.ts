import type { Dice } from './dice.js';

/**
 * What goes wrong. `power-cut` and `kill` end the process in the middle of a call; the others make calls fail:
 *   full            there is room for some bytes more, then writes and new names fail with ENOSPC; the last write is short
 *   read-only       every change fails with EROFS
 *   write-error     every change fails with EIO; it has happened, in part where it is a write, or has not
 *   sync-error      syncs fail with EIO
 *   read-error      reads fail with EIO
 *   no-descriptors  opening fails with EMFILE
 */
export const FAULT_KINDS = [
  'power-cut',
  'kill',
  'full',
  'read-only',
  'write-error',
  'sync-error',
  'read-error',
  'no-descriptors',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface Fault {
  kind: FaultKind;
  /** Calls of the step that succeed before it. */
  after: number;
  /** Calls that it affects. */
  lasts: number;
}

/** What a call does, as far as faults tell calls apart. */
export type CallKind = 'open' | 'read' | 'write' | 'create' | 'remove' | 'sync' | 'look' | 'close';

const AFFECTED: Record<FaultKind, readonly CallKind[]> = {
  'power-cut': ['open', 'read', 'write', 'create', 'remove', 'sync', 'look', 'close'],
  kill: ['open', 'read', 'write', 'create', 'remove', 'sync', 'look', 'close'],
  full: ['write', 'create'],
  'read-only': ['write', 'create', 'remove'],
  'write-error': ['write', 'create', 'remove'],
  'sync-error': ['sync'],
  'read-error': ['read'],
  'no-descriptors': ['open'],
};

const CODES: Partial<Record<FaultKind, string>> = {
  full: 'ENOSPC',
  'read-only': 'EROFS',
  'write-error': 'EIO',
  'sync-error': 'EIO',
  'read-error': 'EIO',
  'no-descriptors': 'EMFILE',
};

export function systemError(code: string, call: string, file: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated, ${call} '${file}'`), {
    code,
    syscall: call,
    path: file,
    errno: -1,
  });
}

/** Decides for each call whether the fault of the present step strikes it. */
export class FaultPlan {
  #fault: Fault | undefined;
  #calls = 0;
  #room = 0;

  arm(fault: Fault | undefined, dice: Dice): void {
    this.#fault = fault;
    this.#calls = 0;
    this.#room = dice.chance(0.5) ? 0 : dice.magnitude(10_000);
  }

  /** @returns the kind of the fault that strikes this call */
  strike(call: CallKind): FaultKind | undefined {
    const fault = this.#fault;
    this.#calls += 1;
    if (fault === undefined || this.#calls <= fault.after || this.#calls > fault.after + fault.lasts) return undefined;
    return AFFECTED[fault.kind].includes(call) ? fault.kind : undefined;
  }

  /** @returns how many of the bytes a full disk has room for */
  takeRoom(bytes: number): number {
    const taken = Math.min(bytes, this.#room);
    this.#room -= taken;
    return taken;
  }
}

export const codeOf = (kind: FaultKind): string => CODES[kind] ?? 'EIO';
