/** The index thread: FAISS blocks whoever calls it, so every index of the process lives here. */
import { parentPort } from 'node:worker_threads';
import { assert } from './assert.js';
import { Engine, type RawQuery } from './engine.js';
import type { EventName, LogLevel } from './events.js';
import { LIMITS } from './limits.js';
import { type EventOf, type Method, type Reply, type Request, type Result, toFailure } from './protocol.js';

assert(parentPort !== null, 'the index thread was started as a program');
const port = parentPort;

interface Waiting {
  call: number;
  query: RawQuery;
}

/** An open index and the queries that wait for its next FAISS round. */
interface Hosted {
  engine: Engine;
  queries: Waiting[];
}

const hosted = new Map<number, Hosted>();

port.on('message', (request: Request) => {
  if (request.method === 'search') enqueue(request.store, { call: request.call, query: request.argument });
  else settle(request);
});

function settle(request: Exclude<Request, { method: 'search' }>): void {
  answer(request).then(
    (result) => reply({ type: 'result', call: request.call, result }),
    (error: unknown) => fail(request.call, error),
  );
}

async function answer(request: Exclude<Request, { method: 'search' }>): Promise<Result<Method>> {
  if (request.method === 'open') return open(request);
  const { engine } = find(request.store);
  switch (request.method) {
    case 'write':
      return engine.write(request.argument);
    case 'deleteWhere':
      return engine.deleteWhere(request.argument);
    case 'get':
      return engine.get(request.argument);
    case 'list':
      return engine.list(request.argument);
    case 'count':
      return engine.count();
    case 'snapshot':
      return engine.snapshot();
    case 'close':
      hosted.delete(request.store);
      return engine.close();
  }
}

async function open({ store, argument }: Extract<Request, { method: 'open' }>): Promise<void> {
  const log = (level: LogLevel) => (fields: object, message: string) =>
    reply({ type: 'log', store, level, fields, message });
  const event =
    <E extends EventName>(name: E) =>
    (event: EventOf<E>) =>
      reply({ type: 'event', store, name, event } as Reply);
  const engine = await Engine.open({
    ...argument,
    log: { info: log('info'), warn: log('warn'), error: log('error') },
    events: {
      onSearchBatch: event('onSearchBatch'),
      onCommit: event('onCommit'),
      onSnapshot: event('onSnapshot'),
    },
  });
  hosted.set(store, { engine, queries: [] });
}

/** Queries that have arrived by the time FAISS is free share one call. */
function enqueue(store: number, waiting: Waiting): void {
  const index = hosted.get(store);
  if (index === undefined) {
    fail(waiting.call, new Error('index: not open'));
    return;
  }
  index.queries.push(waiting);
  if (index.queries.length === 1) setImmediate(searchRound, index);
}

function searchRound(index: Hosted): void {
  const round = index.queries.splice(0, LIMITS.queriesPerBatch);
  if (index.queries.length > 0) setImmediate(searchRound, index);
  try {
    const hits = index.engine.search(round.map(({ query }) => query));
    for (const [i, { call }] of round.entries()) reply({ type: 'result', call, result: hits[i] });
  } catch (error) {
    for (const { call } of round) fail(call, error);
  }
}

function find(store: number): Hosted {
  const index = hosted.get(store);
  assert(index !== undefined, 'not open');
  return index;
}

const fail = (call: number, error: unknown) => reply({ type: 'failure', call, failure: toFailure(error) });

function reply(message: Reply): void {
  port.postMessage(message);
}
