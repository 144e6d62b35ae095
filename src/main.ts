import './lib/no-telemetry.js';
import { existsSync } from 'node:fs';
import closeWithGrace from 'close-with-grace';

/** A request still running when this is over is cut off: orchestrators kill the process soon after. */
const SHUTDOWN_TIMEOUT_MS = 25_000;
/**
 * Signals and errors that keep Node's own handling. A JavaScript handler of a fault in native code
 * (SIGSEGV and the like) would keep the process spinning instead of letting it end.
 */
const NOT_HANDLED: closeWithGrace.AllEvents[] = [
  ...(['SIGHUP', 'SIGQUIT', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2'] as const),
  ...(['uncaughtException', 'unhandledRejection', 'beforeExit'] as const),
];

/** Assembles the service. Its modules load here, after the signal handlers are in place. */
async function assemble() {
  const { loadConfig } = await import('./config.js');
  const config = loadConfig(process.env);
  const { buildApp } = await import('./app.js');
  return { app: await buildApp(config), config };
}

async function main(): Promise<void> {
  // Installed before anything else: as process 1 of a container, a signal without a handler is lost.
  let stopping = false;
  closeWithGrace({ delay: SHUTDOWN_TIMEOUT_MS, skip: NOT_HANDLED }, async ({ signal }) => {
    stopping = true;
    // A start that fails has nothing to close, and `main` reports it.
    const started = await assembled.catch(() => undefined);
    started?.app.log.info(`${signal}: finishing the requests under way`);
    await started?.app.close();
  });
  const assembled = assemble();
  const { app, config } = await assembled;
  if (stopping) return;
  const url = await app.listen({ host: config.HOST, port: config.PORT });
  process.stderr.write(welcome(url, app.service.models.all.map(({ id }) => id).join(', ')));
}

/** The repository comes with media to try; a package installed from npm does not. */
const withSamples = existsSync('samples/captions.jsonl');

const welcome = (url: string, models: string) => `
onespace is ready with ${models} on ${url}

  Index a folder:      ${withSamples ? 'npm run samples' : 'npx onespace index FOLDER'}
  Search in words:     curl -s ${url}/retrieve -H 'content-type: application/json' -d '{"text":"红色汽车"}'
  Search by image:     curl -s ${url}/retrieve -F file=@${withSamples ? 'samples/images/cat.jpg' : 'photo.jpg'}
  Embed a video:       curl -s ${url}/embed/video -F file=@${withSamples ? 'samples/clips/rocket.mp4' : 'video.mp4'}
  Store your own:      curl -s ${url}/items -F file=@photo.jpg -F 'metadata={"album":"summer"}'

`;

main().catch((error: unknown) => {
  process.stderr.write(`onespace cannot start: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
