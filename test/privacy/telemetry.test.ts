import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTrace, spawnTraced, tracingProblem } from './trace.js';

const problem = tracingProblem();
if (problem !== undefined) console.warn(`LEFT OUT: nothing watches what the service opens, because ${problem}.`);

let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'onespace-privacy-'));
  for (const name of ['home', 'tmp', 'data', 'media']) await mkdir(path.join(root, name));
});
afterAll(() => rm(root, { recursive: true }));

/** A home folder, a folder for temporary files and data of its own; telemetry is not switched off from outside. */
function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { ORT_DISABLE_TELEMETRY, HF_HUB_DISABLE_TELEMETRY, DO_NOT_TRACK, ...inherited } = process.env;
  const folders = { HOME: path.join(root, 'home'), TMPDIR: path.join(root, 'tmp'), DATA_DIR: path.join(root, 'data') };
  return { ...inherited, XDG_CACHE_HOME: '', NODE_V8_COVERAGE: '', ...folders, ...more };
}

/** Files that may be made: the service's own data, and the scheduling group of an ffmpeg process. */
const isOurs = (file: string) =>
  file.startsWith(path.join(root, 'data/')) || /^\/proc\/\d+\/autogroup$/.test(file) || file === '/dev/null';

async function post(url: string, body: FormData | object): Promise<void> {
  const isForm = body instanceof FormData;
  const headers: Record<string, string> = isForm ? {} : { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: isForm ? body : JSON.stringify(body) });
  expect(response.ok, await response.text()).toBe(true);
}

async function fileForm(file: string): Promise<FormData> {
  const form = new FormData();
  form.set('file', new Blob([new Uint8Array(await readFile(file))]), path.basename(file));
  return form;
}

/** Starts the service under strace; `use` gets its URL. @returns the trace, after the service has ended */
async function traceService(command: string[], use: (url: string) => Promise<void>): Promise<string> {
  const trace = path.join(root, `${command.at(-1)?.split('/').at(-1)}.trace`);
  const child = spawnTraced(trace, command, environment({ PORT: '0', LOG_LEVEL: 'error' }));
  const exit = once(child, 'exit');
  try {
    for await (const line of createInterface({ input: child.stderr as never })) {
      const url = /ready .*(http:\/\/\S+)/.exec(line)?.[1];
      if (url === undefined) continue;
      await use(url);
      // What reports in the background has had time to.
      await sleep(2000);
      child.kill('SIGTERM');
    }
  } finally {
    child.kill('SIGKILL');
  }
  expect(await exit).toEqual([0, null]);
  return trace;
}

async function useEverything(url: string): Promise<void> {
  await post(`${url}/embed/text`, { text: 'a red car' });
  await post(`${url}/embed/image`, await fileForm('samples/images/cat.jpg'));
  await post(`${url}/embed/video`, await fileForm('samples/clips/rocket.mp4'));
  await post(`${url}/items`, await fileForm('samples/images/cat.jpg'));
  await post(`${url}/retrieve`, { text: 'a cat', top_k: 1 });
}

describe.skipIf(problem !== undefined)('nothing leaves the machine, and nothing is left on it', () => {
  const node = process.execPath;

  it('by the service: start, embed, store, search, stop', async () => {
    const seen = await readTrace(await traceService([node, 'dist/src/main.js'], useEverything), process.cwd());
    expect(seen.network).toEqual([]);
    expect(seen.made.filter((file) => !isOurs(file))).toEqual([]);
    // The trace is not blind: it has seen the index being made.
    expect(seen.made).toContain(path.join(root, 'data/index/onespace-mini/index.json'));
  }, 180_000);

  it('by the command line: it calls the service that it is told to, and no other', async () => {
    const cli = async (url: string, ...args: string[]) => {
      const trace = path.join(root, `${args[0]}.trace`);
      const command = [node, 'dist/src/cli/main.js', ...args];
      const child = spawnTraced(trace, command, environment({ ONESPACE_URL: url }));
      child.stdout?.resume();
      child.stderr?.resume();
      expect(await once(child, 'exit'), args.join(' ')).toEqual([0, null]);
      const seen = await readTrace(trace, process.cwd());
      const port = `sin_port=htons(${new URL(url).port}), sin_addr=inet_addr("127.0.0.1")`;
      expect(seen.network.filter((line) => !line.includes(port))).toEqual([]);
      expect(seen.made.filter((file) => !isOurs(file))).toEqual([]);
    };
    await writeFile(path.join(root, 'media/cat.jpg'), await readFile('samples/images/cat.jpg'));
    const served = await traceService([node, 'dist/src/cli/main.js', 'serve'], async (url) => {
      await post(`${url}/embed/text`, { text: 'a red car' });
      await cli(url, 'index', path.join(root, 'media'));
      await cli(url, 'search', 'a cat');
    });
    const seen = await readTrace(served, process.cwd());
    expect(seen.network).toEqual([]);
    expect(seen.made.filter((file) => !isOurs(file))).toEqual([]);
    await cli('http://127.0.0.1:9', 'export', path.join(root, 'data/items.jsonl'));
  }, 180_000);
});

describe('the rule that keeps it so', () => {
  const RULE = /^import '(?:\.\.?\/)+(?:[\w-]+\/)*no-telemetry\.js';$/;
  const RUNTIME = /^(?:import|\} from|const).*'(?:onnxruntime-node|@huggingface\/transformers)'/m;
  /** Worker threads: what starts them imports it, and in a thread it would have no effect. */
  const THREADS = /^src\/inference\/families\/\w+\/(?:worker|runtime)\.ts$/;
  const ENTRIES = ['src/main.ts', 'src/cli/main.ts', 'src/inference/worker/worker-handle.ts'];

  const sources = ['src', 'routes', 'test', 'bench', 'models', 'deploy']
    .flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`))
    .filter((file) => /\.(?:ts|mjs|js)$/.test(file) && !file.includes('node_modules/'));

  it('is the first import of every entry point, and of all that load ONNX Runtime', () => {
    const loading = sources.filter((file) => RUNTIME.test(readFileSync(file, 'utf8')) && !THREADS.test(file));
    expect(loading.length).toBeGreaterThan(4);
    const isFirst = (file: string) => {
      const lines = readFileSync(file, 'utf8').split('\n');
      return RULE.test(lines.find((line) => /^import\b/.test(line)) ?? '');
    };
    expect([...ENTRIES, ...loading].filter((file) => !isFirst(file))).toEqual([]);
  });

  it('is in the image, in Compose, and in the environment of the training', () => {
    const off = /ORT_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_TELEMETRY=1 DO_NOT_TRACK=1/g;
    expect(readFileSync('Dockerfile', 'utf8').match(off)).toHaveLength(2);
    if (existsSync('models/onespace-mini/training/env.sh'))
      expect(readFileSync('models/onespace-mini/training/env.sh', 'utf8')).toMatch(off);
    const compose = readFileSync('docker-compose.yml', 'utf8');
    for (const setting of ['GF_ANALYTICS_REPORTING_ENABLED', 'GF_ANALYTICS_CHECK_FOR_UPDATES', 'ANONYMIZED_TELEMETRY'])
      expect(compose).toContain(`${setting}: "false"`);
  });
});
