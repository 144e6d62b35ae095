import { describe, expect, it } from 'vitest';
import { Slots } from '../../src/lib/semaphore.js';
import { codeOf } from '../media/support.js';

/** A task that ends when it is told to. */
function task() {
  let end = () => {};
  let hasBegun = false;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const work = async () => {
    hasBegun = true;
    await ended;
  };
  return { work, end: () => end(), hasBegun: () => hasBegun };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('Slots', () => {
  it('runs as many as fit, then the next in order', async () => {
    const slots = new Slots(2);
    const tasks = [task(), task(), task(), task()];
    const all = Promise.all(tasks.map(({ work }) => slots.use(work)));
    await settled();
    expect(tasks.map(({ hasBegun }) => hasBegun())).toEqual([true, true, false, false]);
    tasks[1]?.end();
    await settled();
    expect(tasks.map(({ hasBegun }) => hasBegun())).toEqual([true, true, true, false]);
    for (const { end } of tasks) end();
    await all;
  });

  it('lets nobody overtake a heavy task, and runs one heavier than all room alone', async () => {
    const slots = new Slots(3);
    const [light, heavy, late] = [task(), task(), task()];
    const all = [slots.use(light.work), slots.use(heavy.work, { weight: 9 }), slots.use(late.work)];
    await settled();
    expect([light, heavy, late].map(({ hasBegun }) => hasBegun())).toEqual([true, false, false]);
    light.end();
    await settled();
    expect([heavy, late].map(({ hasBegun }) => hasBegun())).toEqual([true, false]);
    heavy.end();
    late.end();
    await Promise.all(all);
  });

  it('gives the room of a failed task back', async () => {
    const slots = new Slots(1);
    await expect(slots.use(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    await slots.use(async () => {});
  });

  it('makes way for those behind when one that waits gives up', async () => {
    const slots = new Slots(2);
    const [first, behind] = [task(), task()];
    const client = new AbortController();
    const running = slots.use(first.work);
    const heavy = codeOf(slots.use(async () => {}, { weight: 2, signal: client.signal }));
    const late = slots.use(behind.work);
    client.abort();
    expect(await heavy).toBe('client_closed');
    await settled();
    expect(behind.hasBegun()).toBe(true);
    first.end();
    behind.end();
    await Promise.all([running, late]);
  });
});
