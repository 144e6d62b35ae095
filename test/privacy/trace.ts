import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** System calls that talk to a network, and those that make files or give them names. */
const NETWORK = ['connect', 'sendto', 'sendmsg', 'sendmmsg'];
const FILES = [
  ...['open', 'openat', 'openat2', 'creat', 'mkdir', 'mkdirat', 'mknod', 'mknodat'],
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat'],
];

/** Why processes cannot be traced here; undefined where they can. */
export function tracingProblem(): string | undefined {
  const { status, error } = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true'], { timeout: 10_000 });
  if (error !== undefined) return 'strace is not installed (node deploy/setup.mjs tools)';
  return status === 0 ? undefined : 'strace may not trace processes here';
}

/** Starts a program under strace, with every process and thread that it starts. The child is the program itself. */
export function spawnTraced(trace: string, command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  // -D: the tracer is a grandchild. Calls that this architecture does not have are marked by `?`.
  const calls = [...NETWORK, ...FILES].map((call) => `?${call}`).join(',');
  const args = ['-D', '-f', '-qq', '-s', '300', '-e', `trace=${calls}`, '-o', trace, ...command];
  return spawn('strace', args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
}

export interface Seen {
  /** Calls that reach for another machine, or for a name server. */
  network: string[];
  /** Absolute paths of files and folders that were made. */
  made: string[];
}

/** What a trace says of what the programs did. @param cwd where they ran */
export async function readTrace(trace: string, cwd: string): Promise<Seen> {
  const seen: Seen = { network: [], made: [] };
  for (const line of (await readFile(trace, 'utf8')).split('\n')) {
    const [, call = '', args = ''] = /^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$/.exec(line) ?? [];
    if (NETWORK.includes(call)) {
      if (/sa_family=AF_INET/.test(args)) seen.network.push(line);
    } else if (makesFile(call, args)) {
      const paths = [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1] as string);
      seen.made.push(path.resolve(cwd, paths.at(-1) ?? ''));
    }
  }
  return seen;
}

/** Attempts count as well as successes, except to make what is there: that of a name is what matters. */
const makesFile = (call: string, args: string) =>
  FILES.includes(call) && !/= -1 EEXIST/.test(args) && (!/^open/.test(call) || /O_CREAT/.test(args));
