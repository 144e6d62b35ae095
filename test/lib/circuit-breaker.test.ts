import { expect, it } from 'vitest';
import { CircuitBreaker } from '../../src/lib/async/circuit-breaker.js';

it('opens after failures in a row, admits one call after a time, and follows its outcome', () => {
  let nowMs = 0;
  const breaker = new CircuitBreaker({ nowMs: () => nowMs });
  for (let failure = 0; failure < 4; failure++) breaker.failed();
  expect(breaker.admits()).toBe(true);
  breaker.succeeded();
  for (let failure = 0; failure < 5; failure++) {
    expect(breaker.admits()).toBe(true);
    breaker.failed();
  }
  expect(breaker.admits()).toBe(false);
  nowMs = 4_999;
  expect(breaker.admits()).toBe(false);
  nowMs = 5_001;
  expect([breaker.admits(), breaker.admits()]).toEqual([true, false]);
  breaker.failed();
  expect(breaker.admits()).toBe(false);
  nowMs = 20_000;
  expect(breaker.admits()).toBe(true);
  breaker.succeeded();
  expect([breaker.admits(), breaker.admits()]).toEqual([true, true]);
});
