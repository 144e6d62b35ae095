import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Starts the service in a process of its own, without its caches. Resolves when it is ready. */
export async function startService(settings = {}) {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
  const defaults = { PORT: '0', LOG_LEVEL: 'error', CACHE_MB: '0', CACHE_DISK_MB: '0', DATA_DIR: dataDir };
  const env = { ...process.env, ...defaults, ...settings };
  const child = spawn(process.execPath, ['dist/src/main.js'], { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'pipe'] });
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const found = /ready .*(http:\/\/\S+)/.exec(line)?.[1];
      if (found) resolve(found);
    });
    child.once('exit', () => reject(new Error('The service ended before it was ready. Build it first: npm run build')));
  });
  const stop = async (signal = 'SIGTERM') => {
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
    await rm(dataDir, { recursive: true });
  };
  return { url, pid: child.pid, stop };
}
