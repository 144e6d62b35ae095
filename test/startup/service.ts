import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Service {
  child: ChildProcess;
  url: string;
  /** Log lines. */
  logs: Record<string, unknown>[];
  stop(signal?: NodeJS.Signals): Promise<unknown[]>;
}

function launch(settings: NodeJS.ProcessEnv, { root = '.', ...options }: SpawnOptions & { root?: string }) {
  const env = { ...process.env, PORT: '0', LOG_LEVEL: 'info', ...settings };
  return spawn(process.execPath, [`${root}/dist/src/main.js`], { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Starts the real service as a process. @throws Error with what it printed, when it ends before it is ready */
export async function serve(settings: NodeJS.ProcessEnv, options: SpawnOptions = {}): Promise<Service> {
  const child = launch(settings, options);
  const logs: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout as never }).on('line', (line) => logs.push(JSON.parse(line)));
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    const exit = once(child, 'exit');
    child.kill(signal);
    return exit;
  };
  let printed = '';
  for await (const line of createInterface({ input: child.stderr as never })) {
    printed += `${line}\n`;
    const url = /ready .*(http:\/\/\S+)/.exec(line)?.[1];
    if (url !== undefined) return { child, url, logs, stop };
  }
  throw new Error(printed);
}

/** What a service prints that does not start. @param root the folder of its build */
export async function failure(
  settings: NodeJS.ProcessEnv,
  options: SpawnOptions & { root?: string } = {},
): Promise<string> {
  const child = launch(settings, options);
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      printed += chunk;
    });
  const [code] = await once(child, 'close');
  if (code !== 1) throw new Error(`exit code ${code}: ${printed}`);
  return printed;
}

export const postJson = (url: string, body: object): Promise<Response> =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
