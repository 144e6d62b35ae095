import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../free-port.js';

const START_TIMEOUT_MS = 30_000;

/** A real Chroma server: the one of `CHROMA_URL`, or one started from the npm package. */
export interface ChromaServer {
  url: string;
  stop(): Promise<void>;
}

/** @returns undefined where neither is available */
export async function startChroma(dataDir: string, fixedPort?: number): Promise<ChromaServer | undefined> {
  if (process.env.CHROMA_URL) return { url: process.env.CHROMA_URL, stop: async () => {} };
  const binary = chromaBinary();
  if (binary === undefined) return undefined;
  const port = fixedPort ?? (await freePort());
  const args = [binary, 'run', '--path', dataDir, '--host', '127.0.0.1', '--port', String(port)];
  const env = { ...process.env, ANONYMIZED_TELEMETRY: 'false' };
  const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(url, child);
  return { url, stop: () => stopProcess(child) };
}

function chromaBinary(): string | undefined {
  const from = createRequire(process.env.CHROMA_PACKAGE ?? new URL('./server/package.json', import.meta.url));
  try {
    const [packages] = from.resolve('chromadb').split(/(?<=[\\/]node_modules[\\/])chromadb[\\/]/);
    return path.join(packages ?? '', 'chromadb', 'dist', 'cli.mjs');
  } catch {
    return undefined;
  }
}

async function untilAnswers(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    const answer = await fetch(`${url}/api/v2/heartbeat`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(50);
  }
  child.kill('SIGKILL');
  throw new Error('Chroma did not start');
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
