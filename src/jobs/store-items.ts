import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../common/errors.js';
import type { JobCounts, RefusedFile } from './job.js';
import type { StorableItem } from './storable-item.js';

/** What a job needs of the service. */
export interface JobParts {
  /** Stores items. @returns for each, in order, its own problem, or nothing @throws Problem of the service */
  put(items: readonly StorableItem[], signal: AbortSignal): Promise<(Problem | undefined)[]>;
  /** Resolves when no request waits for the model: searches come first. */
  idle(signal: AbortSignal): Promise<void>;
  /** How many files may be read and embedded at the same time now. */
  atOnce(): number;
}

export interface JobHooks {
  signal: AbortSignal;
  /** Called after each step, with what became of the files so far. */
  onProgress(counts: JobCounts, problem?: string): Promise<void>;
  /** @throws Problem of the disk */
  onRefused(refused: readonly RefusedFile[]): Promise<void>;
}

/** Items of one write. */
const GROUP = 16;
/** Pause before a service that cannot store now is asked again; it grows up to the longest. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/** Stores items, a group at a time; requests come before each. @throws the reason of the signal when it aborts */
export async function storeInGroups(
  items: readonly StorableItem[],
  counts: JobCounts,
  parts: JobParts,
  hooks: JobHooks,
): Promise<void> {
  const { signal } = hooks;
  for (let i = 0; i < items.length; i += GROUP) {
    signal.throwIfAborted();
    await parts.idle(signal);
    await storeGroup(items.slice(i, i + GROUP), counts, parts, hooks);
  }
}

async function storeGroup(group: readonly StorableItem[], counts: JobCounts, parts: JobParts, hooks: JobHooks) {
  const outcomes = await patiently(() => parts.put(group, hooks.signal), hooks, counts);
  const refused = outcomes.flatMap((problem, at) =>
    problem === undefined ? [] : [{ file: group[at]?.id ?? '', reason: problem.detail }],
  );
  await patiently(() => hooks.onRefused(refused), hooks, counts);
  counts.refused += refused.length;
  counts.stored += group.length - refused.length;
  await hooks.onProgress(counts);
}

/**
 * Stores items one by one, as many at the same time as `parts` allows just then: a slow one holds up nobody.
 * @throws the reason of the signal when it aborts
 */
export async function storeEach(
  items: readonly StorableItem[],
  counts: JobCounts,
  parts: JobParts,
  hooks: JobHooks,
): Promise<void> {
  const { signal } = hooks;
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  for (const item of items) {
    while (running.size >= parts.atOnce()) await Promise.race(running);
    await parts.idle(signal).catch(() => {});
    if (failure !== undefined || signal.aborted) break;
    const one = storeGroup([item], counts, parts, hooks)
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => running.delete(one));
    running.add(one);
  }
  await Promise.all(running);
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}

/** Does what the service may refuse for a while: it waits, and asks again. @throws Problem of the input */
export async function patiently<Result>(
  work: () => Promise<Result>,
  { signal, onProgress }: JobHooks,
  counts: JobCounts,
): Promise<Result> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS))
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Problem) || error.isOfInput) throw error;
      await onProgress(counts, error.detail);
      await sleep(pauseMs, undefined, { signal });
    }
}
