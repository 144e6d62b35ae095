/**
 * Which files of src/ and routes/ one request executes: what a reader opens to follow it.
 *
 *   npm run build && npm run bench:path -- [--list] [--check]
 *
 *   --list     also names the files, in the order in which they are first executed
 *   --check    exits with code 1 when a request executes more files on the main thread than its budget
 *
 * The service runs in this process, so that V8's precise coverage tells which functions one request calls, on the main
 * thread and in the worker threads. A file counts when one of its functions is called that does not also run while the
 * service is idle (looking for slow bodies, say). Every kind of request is sent once before, so that what runs
 * only the first time does not count.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildApp } from '../dist/src/app.js';
import { loadConfig } from '../dist/src/config.js';
import { printTable } from './table.mjs';

const { values: options } = parseArgs({
  options: { list: { type: 'boolean', default: false }, check: { type: 'boolean', default: false } },
});
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BUILD = new URL('../dist/', import.meta.url).href;
/** Longer than the pause between two looks for slow bodies. */
const IDLE_MS = 6_000;
/** After a reply, for what the service still does: closing, timings, the cache on disk. */
const REST_MS = 300;

const json = (body) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
const multipart = (file) => {
  const body = new FormData();
  body.set('file', new Blob([file]), 'photo.jpg');
  return { body };
};
/** Each kind of request is sent several times, always with an input that no cache has seen. */
const PHOTOS = ['acanthus', 'airplane', 'astronaut', 'boats', 'canyon', 'cat', 'coffee', 'dahlia', 'flower'];
const photos = await Promise.all(PHOTOS.map((name) => readFile(path.join(ROOT, 'samples/photos', `${name}.jpg`))));
let [photosSent, textsSent] = [0, 0];
const nextPhoto = () => photos[photosSent++];
const nextText = () => `a red car, number ${++textsSent}`;
const REQUESTS = [
  { path: '/embed/image', what: 'multipart file', make: () => multipart(nextPhoto()), budget: 25 },
  { path: '/retrieve', what: 'JSON text', make: () => json({ text: nextText() }), budget: 32 },
  { path: '/retrieve', what: 'multipart file', make: () => multipart(nextPhoto()), budget: 32 },
  { path: '/items', what: 'multipart file', make: () => multipart(nextPhoto()), budget: 32 },
  { path: '/embed/text', what: 'JSON text', make: () => json({ text: nextText() }) },
];

/** A thread of this process, as its inspector sees it. */
class Thread {
  /** What the thread calls while the service is idle. */
  #idle = new Set();

  /** @param post sends a command of the inspector's protocol to the thread */
  constructor(name, post) {
    this.name = name;
    this.post = post;
  }

  async startCoverage() {
    await this.post('Profiler.enable');
    await this.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  }

  /** The functions of ours called since the last time: `{file, scriptId, start, end}`, offsets in the file. */
  async takeCalls() {
    const { result } = await this.post('Profiler.takePreciseCoverage');
    return result
      .filter(({ url }) => url.startsWith(BUILD))
      .flatMap(({ url, scriptId, functions }) =>
        functions.flatMap(({ ranges: [whole] }) =>
          whole.count === 0
            ? []
            : [{ file: url.slice(BUILD.length), scriptId, start: whole.startOffset, end: whole.endOffset }],
        ),
      );
  }

  async learnIdle() {
    for (const call of await this.takeCalls()) this.#idle.add(keyOf(call));
  }

  async takeRequestCalls() {
    return (await this.takeCalls()).filter((call) => !this.#idle.has(keyOf(call)));
  }

  /** Notes when each of the functions is first called; a condition that is never true does not stop the thread. */
  async watch(calls) {
    await this.post('Debugger.enable');
    await this.post('Runtime.evaluate', { expression: 'globalThis.firstCalls = {}' });
    for (const { file, scriptId, start, end } of calls) {
      const locationAt = await locationsIn(file);
      const range = { start: locationAt(scriptId, start), end: locationAt(scriptId, end), restrictToFunction: true };
      const { locations } = await this.post('Debugger.getPossibleBreakpoints', range);
      if (locations.length === 0) continue;
      const condition = `firstCalls[${JSON.stringify(file)}] ??= performance.timeOrigin + performance.now(), false`;
      const [{ scriptId: script, lineNumber, columnNumber }] = locations;
      const location = { scriptId: script, lineNumber, columnNumber };
      // Two functions can begin at the same location.
      await this.post('Debugger.setBreakpoint', { location, condition }).catch(() => {});
    }
  }

  /** @returns the time at which each file was first executed, in ms */
  async unwatch() {
    const { result } = await this.post('Runtime.evaluate', { expression: 'firstCalls', returnByValue: true });
    await this.post('Debugger.disable');
    return result.value;
  }
}

const keyOf = ({ file, start, end }) => `${file}:${start}-${end}`;

/** Turns an offset in a file of the build into a location of the inspector's protocol. */
async function locationsIn(file) {
  const text = await readFile(new URL(file, BUILD), 'utf8');
  return (scriptId, offset) => {
    const before = text.slice(0, offset).split('\n');
    return { scriptId, lineNumber: before.length - 1, columnNumber: before.at(-1).length };
  };
}

/** The main thread and, as they start, the worker threads. */
async function openThreads() {
  const session = new Session();
  session.connect();
  const threads = [new Thread('main', (method, params) => session.post(method, params))];
  const replies = new Map();
  let id = 0;
  session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => {
    const message = JSON.parse(params.message);
    const reply = replies.get(message.id);
    replies.delete(message.id);
    if (message.error !== undefined) reply?.reject(new Error(message.error.message));
    else reply?.resolve(message.result);
  });
  session.on('NodeWorker.attachedToWorker', ({ params: { sessionId, workerInfo } }) => {
    const post = (method, params) =>
      new Promise((resolve, reject) => {
        replies.set(++id, { resolve, reject });
        const message = JSON.stringify({ id, method, params });
        session.post('NodeWorker.sendMessageToWorker', { sessionId, message }).catch(reject);
      });
    threads.push(new Thread(workerInfo.title, post));
  });
  await session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  return threads;
}

async function send(url, { path: route, make }) {
  const response = await fetch(url + route, { method: 'POST', ...make() });
  const body = await response.text();
  if (!response.ok) throw new Error(`${route} answered ${response.status}: ${body}`);
  await sleep(REST_MS);
}

/** @returns the files that one such request executes: `{thread, file}`, in the order of their first execution if listed */
async function follow(threads, url, request) {
  for (const thread of threads) await thread.takeCalls();
  await send(url, request);
  const calls = new Map();
  for (const thread of threads) calls.set(thread, await thread.takeRequestCalls());
  if (!options.list) return threads.flatMap((thread) => filesOf(thread, calls.get(thread)));
  for (const thread of threads) await thread.watch(calls.get(thread));
  await send(url, request);
  const files = [];
  for (const thread of threads) {
    const times = await thread.unwatch();
    for (const one of filesOf(thread, calls.get(thread))) files.push({ ...one, time: times[one.file] ?? Infinity });
  }
  return files.sort((a, b) => a.time - b.time);
}

const filesOf = (thread, calls) =>
  [...new Set(calls.map(({ file }) => file))].sort().map((file) => ({ thread: thread.name, file }));

const dataDir = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
// The models and the service's workers are found from the root of the repository.
process.chdir(ROOT);
const threads = await openThreads();
const app = await buildApp(loadConfig({ ...process.env, DATA_DIR: dataDir, LOG_LEVEL: 'silent' }));
const url = await app.listen({ host: '127.0.0.1', port: 0 });
for (const request of REQUESTS) await send(url, request);
for (const thread of threads) await thread.startCoverage();
await sleep(IDLE_MS);
for (const thread of threads) await thread.learnIdle();

const rows = [];
for (const request of REQUESTS) {
  const files = await follow(threads, url, request);
  const distinct = new Set(files.map(({ file }) => file)).size;
  const onMain = files.filter(({ thread }) => thread === 'main').length;
  const row = { request: `POST ${request.path}, ${request.what}`, 'on the main thread': onMain };
  const budget = request.budget ?? '-';
  rows.push({ ...row, budget, 'in worker threads': files.length - onMain, 'distinct files': distinct });
  if (!options.list) continue;
  console.log(`\n${row.request}`);
  for (const { thread, file } of files) console.log(`  ${thread.padEnd(20)}  ${file.replace(/\.js$/, '.ts')}`);
}
printTable('Files that one request executes', rows);
await app.close();
await rm(dataDir, { recursive: true });
const over = rows.filter(({ 'on the main thread': onMain, budget }) => onMain > budget);
if (options.check && over.length > 0) {
  for (const { request, 'on the main thread': onMain, budget } of over)
    console.error(`${request}: ${onMain} files on the main thread, over the budget of ${budget}`);
  process.exit(1);
}
process.exit(0);
