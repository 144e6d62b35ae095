import { Violation } from './check.js';
import { ProcessEnded } from './file-calls.js';
import { type History, historyOf } from './history.js';
import { Simulation } from './simulation.js';

export interface Failure {
  history: History;
  /** What the engine did wrong. */
  violation: string;
  trace: readonly string[];
}

export interface Report {
  histories: number;
  steps: number;
  /** File calls, each of which a fault could strike. */
  calls: number;
  failure?: Failure;
}

/** @returns what went wrong */
export async function runHistory(history: History): Promise<{ calls: number; failure?: Failure }> {
  const simulation = new Simulation(history);
  let unhandled: unknown;
  const onUnhandled = (error: unknown) => {
    if (!(error instanceof ProcessEnded)) unhandled ??= error;
  };
  process.on('unhandledRejection', onUnhandled);
  try {
    for (const step of history.steps) {
      await simulation.step(step);
      if (unhandled !== undefined) throw new Violation(`an unhandled rejection: ${String(unhandled)}`);
    }
    await simulation.finish();
    return { calls: simulation.calls };
  } catch (error) {
    const violation = error instanceof Violation ? error.message : String((error as Error).stack);
    return { calls: simulation.calls, failure: { history, violation, trace: simulation.trace } };
  } finally {
    await simulation.end();
    process.off('unhandledRejection', onUnhandled);
  }
}

/** Leaves out steps and faults as long as the history still fails. */
export async function shrink(failure: Failure): Promise<Failure> {
  let smallest = failure;
  const attempt = async (steps: History['steps']): Promise<boolean> => {
    const { failure: next } = await runHistory({ ...smallest.history, steps });
    if (next !== undefined) smallest = next;
    return next !== undefined;
  };
  for (let size = smallest.history.steps.length >> 1; size >= 1; size >>= 1)
    for (let from = 0; from < smallest.history.steps.length; ) {
      const { steps } = smallest.history;
      if (!(await attempt([...steps.slice(0, from), ...steps.slice(from + size)]))) from += size;
    }
  for (let at = 0; at < smallest.history.steps.length; at++) {
    const { steps } = smallest.history;
    const { fault, ...sound } = steps[at] as (typeof steps)[number];
    if (fault !== undefined) await attempt(steps.with(at, sound));
  }
  return smallest;
}

/** Runs the histories of consecutive seeds, up to the first that fails. */
export async function simulate(
  first: number,
  histories: number,
  { shrinks = true, onProgress }: { shrinks?: boolean; onProgress?: (report: Report) => void } = {},
): Promise<Report> {
  const report: Report = { histories: 0, steps: 0, calls: 0 };
  for (let seed = first; seed < first + histories; seed++) {
    const history = historyOf(seed);
    const { calls, failure } = await runHistory(history);
    report.histories += 1;
    report.steps += history.steps.length;
    report.calls += calls;
    if (failure !== undefined) return { ...report, failure: shrinks ? await shrink(failure) : failure };
    onProgress?.(report);
  }
  return report;
}

export const describeFailure = ({ history: { seed, world }, violation, trace }: Failure): string =>
  [`seed ${seed}: ${violation}`, `  in ${JSON.stringify(world)}`, ...trace.map((line) => `  ${line}`)].join('\n');
