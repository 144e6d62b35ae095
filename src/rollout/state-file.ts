import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { errorCode, makeDir, writeFileAtomically } from '../lib/fs.js';
import { parseJson } from '../lib/parse-json.js';
import { OutOfSyncLog } from './out-of-sync-log.js';

/** A model, and where its files are. */
const ModelSource = Type.Object({
  /** A folder under models/, or a path. */
  source: Type.String(),
  id: Type.String(),
});
export type ModelSource = Static<typeof ModelSource>;

const Percent = Type.Number({ minimum: 0, maximum: 100 });

/** Two models side by side: one answers, and the other's index is kept in sync. */
const Pairing = Type.Object({
  other: ModelSource,
  /** Whether the other is a candidate for promotion, or the model before the promotion. */
  phase: Type.Enum(['candidate', 'previous']),
  /** Percent of searches that the candidate answers. */
  share: Percent,
  /** Percent of the other searches that the candidate repeats, for comparison. */
  shadow: Percent,
  since: Type.String(),
});
export type Pairing = Static<typeof Pairing>;

const State = Type.Object({
  format: Type.Literal(1),
  /** The first model of the settings; the rollout ends when they name another one. */
  base: Type.String(),
  /** The model that answers. */
  active: ModelSource,
  pairing: Type.Optional(Pairing),
  /** Names of indexes that differ from the name of their model, by the model's id. */
  indexes: Type.Record(Type.String(), Type.String()),
});
export type RolloutState = Static<typeof State>;

/** The files of a rollout: its state, in a file that is replaced atomically, and its out-of-sync log. */
export class StateFile {
  private readonly file: string;

  /** @param fence rejects when this process is no longer the one that may write */
  constructor(
    private readonly folder: string,
    private readonly fence: () => Promise<void> = async () => {},
  ) {
    this.file = path.join(folder, 'state.json');
  }

  /** @throws Error when the file is not a rollout state */
  async read(): Promise<RolloutState | undefined> {
    let text: string;
    try {
      text = await readFile(this.file, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    const state = parseJson(text, this.file);
    if (Value.Check(State, state)) return state;
    throw new Error(`${this.file} is not a rollout state. Delete it to start with the models of the settings.`);
  }

  async write(state: RolloutState): Promise<void> {
    await this.fence();
    await makeDir(this.folder);
    await writeFileAtomically(this.file, toText(state));
  }

  /**
   * The text of the state for a backup: without a rollout that runs, because its two indexes are not copied at the same
   * moment; the model that answers stays the one that answers.
   */
  async forBackup(): Promise<string | undefined> {
    const state = await this.read();
    if (state === undefined) return undefined;
    const { pairing: _, ...rest } = state;
    return toText(rest);
  }

  /** An out-of-sync log for a new rollout. @throws the error of the disk */
  async createLog(): Promise<OutOfSyncLog> {
    await this.fence();
    await makeDir(this.folder);
    return OutOfSyncLog.create(this.logFile);
  }

  /** The out-of-sync log of the rollout that runs. @throws the error of the disk */
  openLog(): OutOfSyncLog {
    return OutOfSyncLog.open(this.logFile);
  }

  private get logFile(): string {
    return path.join(this.folder, 'missed');
  }
}

const toText = (state: RolloutState): string => `${JSON.stringify(state, null, 2)}\n`;

/** The state before any rollout. */
export const initialState = (base: ModelSource, indexes: RolloutState['indexes'] = {}): RolloutState => ({
  format: 1,
  base: base.id,
  active: base,
  indexes,
});

/**
 * Whether a model that is neither the default nor part of a rollout is served: the settings name it, and it is not the
 * one that was replaced by a promoted model which they do not name.
 */
export const staysServed = (id: string, { base, active }: RolloutState, configured: ReadonlySet<string>): boolean =>
  configured.has(id) && (id !== base || active.id === base || configured.has(active.id));
