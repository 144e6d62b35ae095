import { describe, expect, it } from 'vitest';
import { Semaphore } from '../../src/lib/async/semaphore.js';
import { codeOf } from '../media/support.js';

/** A task that runs until `end` is called. */
function task() {
  let end = () => {};
  let hasStarted = false;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const work = async () => {
    hasStarted = true;
    await ended;
  };
  return { work, end: () => end(), hasStarted: () => hasStarted };
}

const nextIteration = () => new Promise((resolve) => setImmediate(resolve));

describe('Semaphore', () => {
  it('runs as many tasks as fit, then the next in order', async () => {
    const semaphore = new Semaphore(2);
    const tasks = [task(), task(), task(), task()];
    const all = Promise.all(tasks.map(({ work }) => semaphore.use(work)));
    await nextIteration();
    expect(tasks.map(({ hasStarted }) => hasStarted())).toEqual([true, true, false, false]);
    tasks[1]?.end();
    await nextIteration();
    expect(tasks.map(({ hasStarted }) => hasStarted())).toEqual([true, true, true, false]);
    for (const { end } of tasks) end();
    await all;
  });

  it('lets no task overtake a heavy one, and runs a task heavier than the capacity alone', async () => {
    const semaphore = new Semaphore(3);
    const [light, heavy, late] = [task(), task(), task()];
    const all = [semaphore.use(light.work), semaphore.use(heavy.work, { weight: 9 }), semaphore.use(late.work)];
    await nextIteration();
    expect([light, heavy, late].map(({ hasStarted }) => hasStarted())).toEqual([true, false, false]);
    light.end();
    await nextIteration();
    expect([heavy, late].map(({ hasStarted }) => hasStarted())).toEqual([true, false]);
    heavy.end();
    late.end();
    await Promise.all(all);
  });

  it('releases the weight of a failed task', async () => {
    const semaphore = new Semaphore(1);
    await expect(semaphore.use(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    await semaphore.use(async () => {});
  });

  it('admits the tasks behind a waiting one that is aborted', async () => {
    const semaphore = new Semaphore(2);
    const [first, behind] = [task(), task()];
    const client = new AbortController();
    const running = semaphore.use(first.work);
    const heavy = codeOf(semaphore.use(async () => {}, { weight: 2, signal: client.signal }));
    const late = semaphore.use(behind.work);
    client.abort();
    expect(await heavy).toBe('client_closed');
    await nextIteration();
    expect(behind.hasStarted()).toBe(true);
    first.end();
    behind.end();
    await Promise.all([running, late]);
  });
});
