import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServiceProcess } from '../service-process.js';
import type { Schema } from './arbitrary.js';

/** Longest time that a body may hold the event loop, so that every other request waits. */
const MAX_SILENCE_MS = 100;
/** A busy machine may be silent once; what a body causes, it causes each time. */
const ATTEMPTS = 10;
/** The default of MAX_JSON_MB: longer bodies are refused by their length. */
const MAX_BODY = 15e6;
const MAX_FIELD = 999_999;
const DEEP = 10_000;

interface Field {
  /** Keys from the body to the field; a number stands for the first entry of a list. */
  path: (string | 0)[];
  schema: Schema;
}
interface Document {
  paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: Schema }> } }>>;
  components: { schemas: Record<string, Schema> };
}

let service: ServiceProcess;
let url: string;
let probe: Worker;
let document: Document;

beforeAll(async () => {
  service = await ServiceProcess.start({ settings: { LOG_LEVEL: 'silent' } });
  url = service.url;
  // Asks for /health without a pause, in a thread of its own.
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    let longest = 0;
    parentPort.on('message', () => { parentPort.postMessage(longest); longest = 0; });
    (async () => { for (;;) {
      const start = performance.now();
      await (await fetch(workerData + '/health')).text();
      longest = Math.max(longest, performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 2));
    } })();`;
  probe = new Worker(code, { eval: true, workerData: url });
  document = (await (await fetch(`${url}/openapi.json`)).json()) as Document;
});

afterAll(async () => {
  await probe.terminate();
  await service.kill();
});

/** The longest time that /health did not answer since the last call. */
async function longestSilence(): Promise<number> {
  probe.postMessage('');
  const [longest] = await once(probe, 'message');
  return longest;
}

/** Every list, string and object of a schema. */
function* fieldsOf(schema: Schema, at: Field['path'] = []): Generator<Field> {
  if (schema.$ref !== undefined) return yield* fieldsOf(named(schema.$ref), at);
  for (const branch of schema.anyOf ?? []) yield* fieldsOf(branch, at);
  if (schema.type === 'array' || schema.type === 'string' || schema.type === 'object') yield { path: at, schema };
  if (schema.items !== undefined) yield* fieldsOf(schema.items, [...at, 0]);
  for (const [name, inner] of Object.entries(schema.properties ?? {})) yield* fieldsOf(inner, [...at, name]);
}

const named = (ref: string) => document.components.schemas[ref.split('/').at(-1) ?? ''] ?? {};

/** JSON text with `value` at `path`. */
const nest = (path: Field['path'], value: string): string =>
  path.reduceRight<string>((inner, key) => (key === 0 ? `[${inner}]` : `{${JSON.stringify(key)}:${inner}}`), value);

const cut = (text: string) => text.slice(0, MAX_FIELD);
const list = (entry: string, limit: number) =>
  `[${`${entry},`.repeat(Math.min(1000 * limit, MAX_BODY / (entry.length + 1)))}${entry}]`;
const string = (characters: string, limit: number) =>
  `"${characters.repeat(Math.min(1000 * limit, MAX_BODY) / Buffer.byteLength(characters))}"`;
const object = (limit: number) => {
  const fields = Array.from({ length: Math.min(1000 * limit, MAX_BODY / 14) }, (_, i) => `"k${i}":0`);
  return `{${fields.join()}}`;
};

/** Values for a field that are far over its limit, or of another kind. */
function* hostile({ maxItems, maxLength, type }: Schema): Generator<[string, string]> {
  if (type === 'array') for (const entry of ['0', '{}']) yield [`${entry}, ...`, list(entry, maxItems ?? 1e3)];
  if (type === 'string') for (const part of ['a', '\\u0000']) yield [part, string(part, maxLength ?? 1e3)];
  if (type === 'object') yield ['many fields', object(100)];
  yield ['deep lists', '['.repeat(DEEP) + ']'.repeat(DEEP)];
  yield ['deep objects', `${'{"a":'.repeat(DEEP)}0${'}'.repeat(DEEP)}`];
}

async function send(method: string, route: string, contentType: string, body: string) {
  const response = await fetch(url + route, {
    method: method.toUpperCase(),
    headers: { 'content-type': contentType },
    body,
  });
  return { status: response.status, text: await response.text() };
}

/** The silences of a few attempts at most; one is enough when it is short. */
async function shortestSilence(attempt: () => Promise<void>): Promise<number> {
  let shortest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ATTEMPTS && shortest > MAX_SILENCE_MS; i++) {
    await longestSilence();
    await attempt();
    shortest = Math.min(shortest, await longestSilence());
  }
  return shortest;
}

describe('a body far over its limits', () => {
  it('never holds the event loop, in any field of any JSON body', async () => {
    const failures: string[] = [];
    let sent = 0;
    for (const [route, methods] of Object.entries(document.paths))
      for (const [method, { requestBody }] of Object.entries(methods)) {
        const schema = requestBody?.content['application/json']?.schema;
        const seen = new Set<string>();
        for (const field of schema === undefined ? [] : fieldsOf(schema)) {
          // The same field in a list, or in another part, takes the same way.
          const kind = JSON.stringify([field.path.at(-1), field.schema]);
          if (seen.has(kind)) continue;
          seen.add(kind);
          for (const [what, value] of hostile(field.schema)) {
            const body = nest(field.path, value);
            const place = `${method} ${route} ${field.path.join('.')}: ${what} (${body.length} bytes)`;
            const silence = await shortestSilence(async () => {
              const { status, text } = await send(method, route, 'application/json', body);
              if (status >= 500 || text.length > 2000) failures.push(`${place}: ${status} ${text.slice(0, 300)}`);
            });
            sent++;
            if (silence > MAX_SILENCE_MS) failures.push(`${place}: silent for ${Math.round(silence)} ms`);
          }
        }
      }
    expect(failures).toEqual([]);
    expect(sent).toBeGreaterThan(100);
  }, 600_000);

  it('never holds the event loop, in any field of a form', async () => {
    const failures: string[] = [];
    const fields = [
      ['/items', 'metadata'],
      ['/items', 'items'],
      ['/retrieve', 'filter'],
      ['/retrieve', 'include'],
      ['/embed', 'role'],
      ['/embed', 'text'],
    ] as const;
    for (const [route, name] of fields)
      for (const value of [cut(list('{}', 1e3)), cut(list('0', 1e3)), '['.repeat(DEEP) + ']'.repeat(DEEP)]) {
        const boundary = 'a-boundary-of-this-test';
        const part = `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
        const silence = await shortestSilence(async () => {
          const { status } = await send(
            'post',
            route,
            `multipart/form-data; boundary=${boundary}`,
            `${part}--${boundary}--\r\n`,
          );
          if (status >= 500) failures.push(`${route} ${name}: ${status}`);
        });
        if (silence > MAX_SILENCE_MS) failures.push(`${route} ${name}: silent for ${Math.round(silence)} ms`);
      }
    expect(failures).toEqual([]);
  }, 300_000);
});

describe('a body within its limits', () => {
  // A megabyte each.
  it.each([
    ['ASCII', 'a '.repeat(480_000)],
    ['Chinese', '孩子'.repeat(160_000)],
    ['emoji', '😀'.repeat(240_000)],
    ['ligatures of eighteen letters', 'ﷺ'.repeat(320_000)],
  ])('never holds the event loop, be it 8 MB of %s', async (_, text) => {
    const bodies: Record<string, (texts: string[]) => object> = {
      '/embed/text': (texts) => ({ text: texts }),
      '/v1/embeddings': (texts) => ({ model: 'onespace-mini', input: texts }),
      '/items': (texts) => texts.map((one, i) => ({ id: `large-${i}`, text: one })),
    };
    const silences: Record<string, number> = {};
    for (const [route, bodyOf] of Object.entries(bodies))
      silences[route] = await shortestSilence(async () => {
        // Texts that no cache has.
        const texts = Array.from({ length: 8 }, () => `${Math.random()} ${text}`);
        const { status, text: reply } = await send('post', route, 'application/json', JSON.stringify(bodyOf(texts)));
        expect(status, reply).toBeLessThan(202);
      });
    expect(Object.entries(silences).filter(([, ms]) => ms > MAX_SILENCE_MS)).toEqual([]);
  });
});

// Only Linux lists the threads of a process.
describe.skipIf(process.platform !== 'linux')('a large body whose client hangs up', () => {
  const threads = () => readdir(`/proc/${service.child.pid}/task`);

  it('does not end the thread that reads bodies: starting one takes a core for half a second', async () => {
    const body = `[${'{},'.repeat(300_000)}{}]`;
    const head = `POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    expect((await send('post', '/items', 'application/json', body)).status).toBe(400);
    const before = await threads();
    for (let i = 0; i < 8; i++) {
      const socket = net.connect(service.port, '127.0.0.1');
      socket.on('error', () => {});
      await new Promise<void>((resolve) => socket.write(head + body, () => resolve()));
      // While the body is parsed.
      await sleep(30);
      socket.destroy();
    }
    expect((await send('post', '/items', 'application/json', body)).status).toBe(400);
    expect(before.length).toBeGreaterThan(5);
    expect(await threads()).toEqual(expect.arrayContaining(before));
  });
});
