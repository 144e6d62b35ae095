import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** A line of the service's log. */
export type LogLine = Record<string, unknown>;

/** The service as a process of its own, on a free port, with its log. */
export interface ServiceProcess {
  url: string;
  child: ChildProcess;
  logs: LogLine[];
  /** What it has printed on the standard error. */
  stderr(): string;
  /** The value of a series, labels included as they are printed; undefined where there is none. */
  series(name: string): Promise<number | undefined>;
  /** Ends it with SIGTERM. */
  stop(): Promise<void>;
}

export async function startService(settings: Record<string, string> = {}): Promise<ServiceProcess> {
  const dataDir = settings.DATA_DIR ?? (await mkdtemp(path.join(tmpdir(), 'onespace-observed-')));
  const env = { ...process.env, PORT: '0', LOG_LEVEL: 'debug', ...settings, DATA_DIR: dataDir };
  const child = spawn(process.execPath, ['dist/src/main.js'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const logs: LogLine[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => logs.push(JSON.parse(line)));
  let stderr = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
      const ready = /ready .*(http:\/\/\S+)/.exec(stderr)?.[1];
      if (ready !== undefined) resolve(ready);
    });
    child.once('exit', () => reject(new Error(`the service ended before it was ready: ${stderr}`)));
  });
  return {
    url,
    child,
    logs,
    stderr: () => stderr,
    series: async (name) => readSeries(await (await fetch(`${url}/metrics`)).text(), name),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const exit = once(child, 'exit');
        child.kill('SIGTERM');
        await exit;
      }
      if (settings.DATA_DIR === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** The value of a series in the text of /metrics. */
export function readSeries(text: string, name: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}
