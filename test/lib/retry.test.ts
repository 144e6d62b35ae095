import { describe, expect, it } from 'vitest';
import { retry } from '../../src/lib/async/retry.js';

const POLICY = { attempts: 4, firstMs: 4, maxMs: 10 };

/** Fails as often as there are errors, then succeeds; counts its calls. */
function failing(...errors: Error[]) {
  const task = async () => {
    task.calls++;
    const error = errors.shift();
    if (error !== undefined) throw error;
    return 'done';
  };
  task.calls = 0;
  return task;
}
const errors = (count: number) => Array.from({ length: count }, (_, i) => new Error(`failure ${i + 1}`));

describe('retry', () => {
  it('repeats the task until it succeeds, with delays within a bound that doubles', async () => {
    const delays: number[] = [];
    const task = failing(...errors(3));
    expect(await retry(task, { ...POLICY, onRetry: (_, delayMs) => delays.push(delayMs) })).toBe('done');
    expect(task.calls).toBe(4);
    for (const [i, bound] of [4, 8, 10].entries()) {
      expect(delays[i]).toBeGreaterThanOrEqual(0);
      expect(delays[i]).toBeLessThan(bound);
    }
  });

  it('throws the last error when the attempts are used up', async () => {
    const task = failing(...errors(9));
    await expect(retry(task, POLICY)).rejects.toThrow('failure 4');
    expect(task.calls).toBe(4);
  });

  it('does not repeat after an error that cannot pass', async () => {
    const task = failing(...errors(9));
    await expect(retry(task, { ...POLICY, shouldRetry: () => false })).rejects.toThrow('failure 1');
    expect(task.calls).toBe(1);
  });

  it('waits as long as the error demands', async () => {
    const delays: number[] = [];
    const task = failing(...errors(1));
    await retry(task, { ...POLICY, retryAfterMs: () => 21, onRetry: (_, delayMs) => delays.push(delayMs) });
    expect(delays).toEqual([21]);
  });

  it('counts failures from the last progress', async () => {
    let reached = 0;
    const task = failing(...errors(8));
    const advancing = () => {
      if (task.calls < 6) reached++;
      return task();
    };
    expect(await retry(advancing, { ...POLICY, progress: () => reached })).toBe('done');
    expect(task.calls).toBe(9);
  });

  it('ends when its signal is aborted, during a delay too', async () => {
    const controller = new AbortController();
    const task = failing(...errors(9));
    const waiting = retry(task, { ...POLICY, retryAfterMs: () => 60_000, signal: controller.signal });
    setTimeout(() => controller.abort(), 10);
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await expect(retry(task, { ...POLICY, signal: controller.signal })).rejects.toThrow('failure 2');
    expect(task.calls).toBe(2);
  });
});
