import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MUTANTS, type Mutant } from './mutants.js';

/** `SIMULATED_HISTORIES=100000 npx vitest run test/simulator` for a long run. */
const HISTORIES = Number(process.env.SIMULATED_HISTORIES ?? 2000);
/** In the worst case all of them run. */
const MUTANT_HISTORIES = 4000;
const MUTANT_TIMEOUT_MS = 240_000;

const run = promisify(execFile);
const simulate = (dist: string, ...args: string[]) =>
  run(process.execPath, [path.join(dist, 'test/simulator/main.js'), ...args]).then(
    ({ stdout }) => ({ code: 0, stdout }),
    ({ code, stdout }: { code: number; stdout: string }) => ({ code, stdout }),
  );

const temporary: string[] = [];
beforeAll(() => run('npx', ['tsc', '-p', 'test/simulator']));
afterAll(() => Promise.all(temporary.map((dir) => rm(dir, { recursive: true }))));

describe('the simulator of the index engine', () => {
  it(`finds nothing in ${HISTORIES} histories`, { timeout: 100_000 + HISTORIES * 400 }, async () => {
    const { code, stdout } = await simulate('dist', '--histories', String(HISTORIES), '--workers', '2');
    expect(stdout).toMatch(new RegExp(`^${HISTORIES} histories, \\d+ steps, \\d+ file calls: 0 failed\n$`));
    expect(code).toBe(0);
  });

  it('does the same for the same seed', async () => {
    const once = await simulate('dist', '--seed', '20');
    expect(await simulate('dist', '--seed', '20')).toEqual(once);
  });

  it.each(MUTANTS)('notices when $name', { timeout: MUTANT_TIMEOUT_MS }, async (mutant) => {
    const dist = await plant(mutant);
    const range = ['--first', String(mutant.first ?? 1), '--histories', String(MUTANT_HISTORIES)];
    const { code, stdout } = await simulate(dist, ...range, '--no-shrink');
    expect(stdout).toContain('1 FAILED');
    expect(stdout).toMatch(/npm run simulate -- --seed \d+/);
    expect(code).toBe(1);
  });
});

/** @returns a copy of the build with the defect */
async function plant({ file, code, replacement }: Mutant): Promise<string> {
  const root = await mkdtemp(path.join(tmpdir(), 'onespace-mutant-'));
  temporary.push(root);
  const dist = path.join(root, 'dist');
  for (const part of ['src', 'test', 'bench/random.mjs'])
    await cp(path.join('dist', part), path.join(dist, part), { recursive: true });
  await writeFile(path.join(root, 'package.json'), '{"type":"module"}');
  await symlink(path.resolve('node_modules'), path.join(root, 'node_modules'));
  const target = path.join(dist, 'src', file);
  const source = await readFile(target, 'utf8');
  expect(source.split(code)).toHaveLength(2);
  await writeFile(target, source.replace(code, replacement));
  return dist;
}
