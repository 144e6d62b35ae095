import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const SELF = fileURLToPath(import.meta.url);

/** Runs the default export of a module in a separate process, so that its memory and threads are measured alone. */
export function inOwnProcess(module, ...args) {
  return new Promise((resolve, reject) => {
    const child = fork(SELF, [new URL(module, import.meta.url).href, JSON.stringify(args)]);
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`${module} ended with ${code}`)));
  });
}

if (process.argv[1] === SELF) {
  const [module, args] = process.argv.slice(2);
  const { default: run } = await import(module);
  process.send((await run(...JSON.parse(args))) ?? null, () => process.exit(0));
}
