import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../../common/errors.js';

const PREFIX = 'lock-';
const HEARTBEAT_MS = 2_000;
/** A holder on another machine or in another container counts as ended after this long without a heartbeat. */
const HEARTBEAT_TIMEOUT_MS = 15_000;
const ATTEMPTS = 5;
const RETRY_MS = 50;

/** Identifies a process, also against a later one with the same pid. */
interface Owner {
  pid: number;
  /** Clock ticks from boot to the start of the process; absent on systems without /proc. */
  startTicks?: string;
  /** Boot and pid namespace that the two numbers above are valid in. */
  world: string;
}

export interface Lock {
  release(): Promise<void>;
}

/**
 * Lets one process at a time open an index folder; a process that has ended holds nothing.
 *
 * Announce, then look (after Lamport's bakery, https://doi.org/10.1145/361082.361093): each
 * opener first creates a file of its own name, then reads the others'. Of two openers at least
 * one sees the other and withdraws, so they never both hold the lock, and the file of an ended
 * process can be removed without a race, because its name is never used again.
 *
 * @throws Problem `conflict` when a live process has the folder open
 */
export async function lockDirectory(dir: string): Promise<Lock> {
  for (let attempt = 1; ; attempt++) {
    const ownName = `${PREFIX}${randomUUID()}`;
    await writeFile(path.join(dir, ownName), JSON.stringify(thisProcess()), { flag: 'wx' });
    const holder = await liveHolder(dir, ownName);
    if (holder === undefined) return holdWithHeartbeat(path.join(dir, ownName));
    await rm(path.join(dir, ownName), { force: true });
    if (attempt === ATTEMPTS)
      throw new Problem(
        'conflict',
        `The index is open in another process (pid ${holder.pid}). Stop it, or give this one a DATA_DIR of its own.`,
      );
    // Two openers may have withdrawn for each other: a random wait separates them.
    await sleep(RETRY_MS * (1 + Math.random()));
  }
}

function holdWithHeartbeat(file: string): Lock {
  const heartbeat = setInterval(() => {
    const now = new Date();
    // A lock file that cannot be touched is no reason to stop serving.
    utimes(file, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      await rm(file, { force: true });
    },
  };
}

async function liveHolder(dir: string, ownName: string): Promise<Owner | undefined> {
  const names = (await readdir(dir)).filter((name) => name.startsWith(PREFIX) && name !== ownName);
  for (const name of names) {
    const file = path.join(dir, name);
    const owner = await readOwner(file);
    if (owner === undefined) continue;
    if (await isAlive(owner, file)) return owner;
    await rm(file, { force: true });
  }
  return undefined;
}

/** Undefined when the file is gone; an owner that cannot be checked while its creator is still writing it. */
async function readOwner(file: string): Promise<Owner | undefined> {
  try {
    const text = await readFile(file, 'utf8');
    return text === '' ? { pid: 0, world: 'unknown' } : (JSON.parse(text) as Owner);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return { pid: 0, world: 'unknown' };
  }
}

async function isAlive(owner: Owner, file: string): Promise<boolean> {
  if (owner.world === world()) return isRunning(owner);
  const heartbeat = await stat(file).catch(() => undefined);
  return heartbeat !== undefined && Date.now() - heartbeat.mtimeMs < HEARTBEAT_TIMEOUT_MS;
}

function isRunning({ pid, startTicks }: Owner): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return startTicks === undefined || startTicks === startTicksOf(pid);
}

const thisProcess = (): Owner => {
  const startTicks = startTicksOf(process.pid);
  return { pid: process.pid, world: world(), ...(startTicks === undefined ? {} : { startTicks }) };
};

/** Field 22 of /proc/<pid>/stat; counted from the last `)`, since the name before it may contain any character. */
function startTicksOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function world(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return process.platform;
  }
}
