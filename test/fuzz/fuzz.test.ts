import { expect, it } from 'vitest';
import { fuzz } from './fuzz.js';

it('answers every damaged file with a client error or frames, and leaves nothing behind', async () => {
  const report = await fuzz({ cases: 80, first: 0, seed: 20, concurrency: 4 });
  expect(report.failures).toEqual([]);
  expect(report.cases).toBe(80);
  expect(report.leftovers).toMatchObject({ processes: 0, files: 0 });
  // Without both kinds of answers, the files were damaged too little or too much for the test to mean anything.
  expect(report.answers.broken_media).toBeGreaterThan(10);
  expect((report.answers.image ?? 0) + (report.answers.video ?? 0)).toBeGreaterThan(10);
}, 120_000);
