import './lib/no-telemetry.js';
import './lib/heap-growth.js';
import { closeSync, existsSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';

/** How long a start that is told to stop may take to end in order; what it wrote survives any end. */
const CANCEL_MS = 3000;
/** What asks for an orderly stop. Others keep Node's own handling: a handler of SIGSEGV would keep a fault spinning. */
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/**
 * How long further signals mean the same stop. A terminal sends Ctrl-C to npm and to its child, and npm passes its own
 * on; a shell passes SIGHUP on, and the kernel sends another when the shell ends.
 */
const REPEATED_MS = 1000;

const cancelled = new AbortController();

// A terminal that was closed: writing to it fails, and Node aborts at the end when it cannot restore its mode.
const terminals = [0, 1, 2].filter(isatty);
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
process.on('exit', () => {
  for (const fd of terminals.filter((fd) => !isatty(fd))) {
    closeSync(fd);
    openSync('/dev/null', 'r+');
  }
});

let stopBeganMs: number | undefined;
// Installed before anything else is loaded: as process 1 of a container, a signal without a handler is lost.
for (const signal of STOP_SIGNALS) process.on(signal, () => onSignal(signal));

function onSignal(signal: NodeJS.Signals): void {
  if (stopBeganMs === undefined) {
    stopBeganMs = performance.now();
    stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        complain(error);
        process.exit(1);
      },
    );
  } else if (performance.now() - stopBeganMs > REPEATED_MS) {
    complain(`${signal} again: ending now, whatever is under way`);
    process.exit(1);
  }
}

async function stop(signal: NodeJS.Signals): Promise<void> {
  cancelled.abort();
  // A start that fails has nothing to close.
  const ended = starting.catch(() => undefined);
  const running = await Promise.race([ended, sleep(CANCEL_MS, 'stuck' as const)]);
  if (running === 'stuck') endBySignal(signal);
  else await running?.stop(signal);
}

/**
 * A model that is being loaded occupies its thread in native code, and `process.exit` would wait for it. The kernel does
 * not; only process 1 outlives this, and exits when the model has been loaded.
 */
function endBySignal(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

const starting = import('./start.js').then(({ start }) => start(process.env, cancelled.signal));

starting.then(
  ({ url, models }) => {
    if (!cancelled.signal.aborted) process.stderr.write(welcome(url, models.join(', ')));
  },
  (error: unknown) => {
    if (cancelled.signal.aborted) return;
    complain(`onespace cannot start: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);

function complain(problem: unknown): void {
  process.stderr.write(`${problem instanceof Error ? problem.message : String(problem)}\n`);
}

/** The repository comes with media to try; a package installed from npm does not. */
function welcome(url: string, models: string): string {
  const withSamples = existsSync('samples/captions.jsonl');
  return `
onespace is ready with ${models} on ${url}

  Index a folder:      ${withSamples ? 'npm run samples' : 'npx onespace index FOLDER'}
  Search in words:     curl -s ${url}/retrieve -H 'content-type: application/json' -d '{"text":"红色汽车"}'
  Search by image:     curl -s ${url}/retrieve -F file=@${withSamples ? 'samples/images/cat.jpg' : 'photo.jpg'}
  Embed a video:       curl -s ${url}/embed/video -F file=@${withSamples ? 'samples/clips/rocket.mp4' : 'video.mp4'}
  Store your own:      curl -s ${url}/items -F file=@photo.jpg -F 'metadata={"album":"summer"}'

`;
}
