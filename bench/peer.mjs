import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const START_ATTEMPTS = 1200;
const PAUSE_MS = 50;

/** Starts another server on `port`. Resolves when it answers. */
export async function startPeer(port, command, ...args) {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}`;
  const stop = async (signal = 'SIGTERM') => {
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  };
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    await sleep(PAUSE_MS);
    if (child.exitCode !== null) break;
    if (await fetch(url).catch(() => undefined)) return { url, pid: child.pid, stop };
  }
  throw new Error(`The server does not start: ${command} ${args.join(' ')}`);
}
