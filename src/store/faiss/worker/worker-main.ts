/** The index worker: FAISS blocks the thread that calls it, so every index of the process is in this one. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../../../lib/assert.js';
import type { LogLevel } from '../../../lib/log/logger.js';
import type { EventName } from '../../events.js';
import { isMended } from '../ann/faiss-binding.js';
import { Engine } from '../engine.js';
import { type EventOf, type Method, type Reply, type Request, type Result, toFailure } from './protocol.js';

assert(parentPort !== null, 'the index worker must be started as a worker thread');
const port = parentPort;

const engines = new Map<number, Engine>();

port.on('message', (request: Request) => {
  const { call } = request;
  answer(request).then(
    (result) => reply({ type: 'result', call, result }),
    (error: unknown) => reply({ type: 'failure', call, failure: toFailure(error) }),
  );
});

async function answer(request: Request): Promise<Result<Method>> {
  if (request.method === 'open') return open(request);
  const engine = engines.get(request.store);
  assert(engine !== undefined, 'a request to an index that is not open');
  switch (request.method) {
    case 'write':
      return engine.write(request.argument);
    case 'deleteWhere':
      return engine.deleteWhere(request.argument);
    case 'get':
      return engine.get(request.argument);
    case 'list':
      return engine.list(request.argument);
    case 'search':
      return engine.search(request.argument);
    case 'count':
      return engine.count();
    case 'check':
      return engine.check();
    case 'refersTo':
      return engine.refersTo(request.argument);
    case 'snapshot':
      return engine.snapshot();
    case 'backUp':
      return engine.backUp(request.argument);
    case 'idle':
      return engine.idle();
    case 'close':
      engines.delete(request.store);
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
      onJournal: event('onJournal'),
      onSearchBatch: event('onSearchBatch'),
      onCommit: event('onCommit'),
      onSnapshot: event('onSnapshot'),
      onIndexInstalled: event('onIndexInstalled'),
      onReleased: event('onReleased'),
      onReplay: event('onReplay'),
    },
  });
  engines.set(store, engine);
  if (!isMended)
    log('warn')(
      {},
      'index: this build of the FAISS binding loses memory with each search; install g++, libfaiss-dev and libopenblas-dev, and start again',
    );
}

function reply(message: Reply): void {
  port.postMessage(message);
}
