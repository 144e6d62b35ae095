/**
 * The simulator of the index engine:
 *
 *   npm run simulate -- --histories 100000 --workers 2
 *   npm run simulate -- --seed 4711          repeats one history
 *
 * Exits with 1 when a history fails.
 */
import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import { patchFileCalls } from './patch.js';

patchFileCalls();
const { describeFailure, simulate } = await import('./run.js');
type Report = import('./run.js').Report;

const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '1000' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
    workers: { type: 'string', default: '1' },
    'no-shrink': { type: 'boolean', default: false },
  },
});
const first = Number(values.seed ?? values.first);
const histories = values.seed === undefined ? Number(values.histories) : 1;
const workers = Math.min(Number(values.workers), histories);
const PROGRESS_HISTORIES = 5000;

function print({ histories, steps, calls, failure }: Report): void {
  const outcome = failure === undefined ? '0 failed' : '1 FAILED';
  console.log(`${histories} histories, ${steps} steps, ${calls} file calls: ${outcome}`);
  if (failure === undefined) return;
  console.log(describeFailure(failure));
  console.log(`Repeat it with: npm run simulate -- --seed ${failure.history.seed}`);
  process.exitCode = 1;
}

const onProgress = (report: Report) => {
  if (report.histories % PROGRESS_HISTORIES === 0) console.error(`${first} + ${report.histories} of ${histories}`);
};

/** Each worker is a process: one thread of a process may load FAISS. */
async function divide(): Promise<Report> {
  const size = Math.ceil(histories / workers);
  const reports = await Promise.all(
    Array.from({ length: workers }, (_, i) => {
      const from = first + i * size;
      const count = Math.min(size, first + histories - from);
      const child = fork(process.argv[1] as string, ['--first', String(from), '--histories', String(count)], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      return new Promise<Report>((resolve, reject) => {
        child.once('message', (report) => resolve(report as Report));
        child.once('exit', (code, signal) => reject(new Error(`a worker ended with ${signal ?? code}`)));
      });
    }),
  );
  return reports.reduce(
    (sum, { histories, steps, calls, failure }) =>
      ({
        histories: sum.histories + histories,
        steps: sum.steps + steps,
        calls: sum.calls + calls,
        ...((sum.failure ?? failure) && { failure: sum.failure ?? failure }),
      }) as Report,
  );
}

const report =
  workers > 1 ? await divide() : await simulate(first, histories, { shrinks: !values['no-shrink'], onProgress });
if (process.send === undefined) print(report);
else process.send(report, () => process.exit(report.failure === undefined ? 0 : 1));
