import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { tempDir } from '../support.js';

/** `CRASH_ROUNDS=1000 npx vitest run test/store/faiss/crash.test.ts` for a long run. */
const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 100);
const ROUND_TIMEOUT_MS = 5_000;
/** In one round in this many the process is killed while it opens: recovery must survive its own crash. */
const EARLY_ROUNDS = 5;

const CHILD = fileURLToPath(new URL('./crash-child.mjs', import.meta.url));

/** A version, or null where the item is deleted. */
type State = number | null;

interface Call {
  writer: number;
  ids: string[];
  version: State;
}

type Line =
  | { type: 'open'; found: { id: string; version: number; intact: boolean }[]; searchable: boolean }
  | ({ type: 'begin' } & Call)
  | ({ type: 'end' } & Call)
  | { type: 'error'; message: string };

/** What the child acknowledged, and what it had begun when it was killed. */
class Ledger {
  readonly #acknowledged = new Map<string, State>();
  readonly #begun = new Map<number, Call>();
  version = 0;
  acknowledgedCalls = 0;

  begin(call: Call): void {
    this.#begun.set(call.writer, call);
    this.version = Math.max(this.version, call.version ?? 0);
  }

  end({ writer, ids, version }: Call): void {
    this.#begun.delete(writer);
    for (const id of ids) this.#acknowledged.set(id, version);
    this.acknowledgedCalls += 1;
  }

  /** Compares with what a reopened index holds: a call under way happened as a whole or not at all. */
  check(found: ReadonlyMap<string, State>): void {
    for (const { ids, version } of this.#begun.values()) {
      const happened = ids.every((id) => (found.get(id) ?? null) === version);
      if (happened) for (const id of ids) this.#acknowledged.set(id, version);
    }
    this.#begun.clear();
    const expected = [...this.#acknowledged].filter(([, version]) => version !== null).sort();
    expect([...found].sort()).toEqual(expected);
  }
}

it(`loses and resurrects nothing in ${ROUNDS} kills`, { timeout: ROUNDS * ROUND_TIMEOUT_MS }, async () => {
  const dir = await tempDir();
  const ledger = new Ledger();
  for (let round = 0; round < ROUNDS; round++) await crash(dir, ledger, round % EARLY_ROUNDS === EARLY_ROUNDS - 1);
  // A test in which nothing happens proves nothing.
  expect(ledger.acknowledgedCalls).toBeGreaterThan(10 * ROUNDS);
});

/** Starts the child and kills it at a random moment: while it opens, or while it writes. */
async function crash(dir: string, ledger: Ledger, early: boolean): Promise<void> {
  const child = spawn(process.execPath, [CHILD, dir, String(ledger.version)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const lines = createInterface({ input: child.stdout });
  const opened = new Promise<void>((resolve, reject) => {
    child.once('exit', () => resolve());
    lines.on('line', (text) => {
      const line = parse(text);
      if (line === undefined) return;
      try {
        record(ledger, line);
      } catch (error) {
        reject(error);
      }
      if (line.type === 'open') resolve();
    });
  });
  try {
    if (early) await sleep(40 + Math.random() * 160);
    else {
      await opened;
      // So many calls, not so much time: a slow machine kills in the midst of as much work.
      const last = ledger.acknowledgedCalls + Math.random() * 40;
      while (ledger.acknowledgedCalls < last && child.exitCode === null)
        await Promise.race([once(lines, 'line'), ended]);
      await sleep(Math.random() * 5);
    }
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  await opened;
}

function record(ledger: Ledger, line: Line): void {
  if (line.type === 'begin') ledger.begin(line);
  if (line.type === 'end') ledger.end(line);
  if (line.type === 'error') throw new Error(`the index logged an error: ${line.message}`);
  if (line.type === 'open') {
    expect(line.found.filter(({ intact }) => !intact)).toEqual([]);
    expect(line.searchable).toBe(true);
    ledger.check(new Map(line.found.map(({ id, version }) => [id, version])));
  }
}

/** Undefined for a line that the kill cut short. */
function parse(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}
