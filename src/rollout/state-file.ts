import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { errorCode, writeFileAtomically } from '../lib/fs.js';

/** A model where it can be found again. */
const Place = Type.Object({
  /** A folder under models/, or a path. */
  source: Type.String(),
  id: Type.String(),
});
export type Place = Static<typeof Place>;

const Percent = Type.Number({ minimum: 0, maximum: 100 });

/** Two models side by side: one answers, the other's index is kept level with its. */
const Pairing = Type.Object({
  other: Place,
  /** Whether the other is to follow the one that answers, or went before it. */
  phase: Type.Enum(['candidate', 'previous']),
  /** Share of reads that the candidate answers. */
  share: Percent,
  /** Share of the other reads that it is given as well, to compare. */
  shadow: Percent,
  since: Type.String(),
});
export type Pairing = Static<typeof Pairing>;

const State = Type.Object({
  format: Type.Literal(1),
  /** The model that the settings name first, on which all else builds: other settings end it. */
  base: Type.String(),
  /** The model that answers. */
  active: Place,
  pairing: Type.Optional(Pairing),
  /** Names of indexes that are not called like their model, by the model's id. */
  indexes: Type.Record(Type.String(), Type.String()),
});
export type RolloutState = Static<typeof State>;

/** Where a rollout stands, in a file that a crash leaves whole. */
export class StateFile {
  private readonly file: string;

  constructor(private readonly folder: string) {
    this.file = path.join(folder, 'state.json');
  }

  /** @throws Error when there is something else in its place */
  async read(): Promise<RolloutState | undefined> {
    let text: string;
    try {
      text = await readFile(this.file, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    const state: unknown = JSON.parse(text);
    if (Value.Check(State, state)) return state;
    throw new Error(`${this.file} is not the state of a rollout. Remove it to start with the models of the settings.`);
  }

  async write(state: RolloutState): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await writeFileAtomically(this.file, `${JSON.stringify(state, null, 2)}\n`);
  }

  /** Where the items are remembered in which the two indexes differ. */
  get missedFile(): string {
    return path.join(this.folder, 'missed');
  }
}

/** The state before any rollout. */
export const initialState = (base: Place, indexes: RolloutState['indexes'] = {}): RolloutState => ({
  format: 1,
  base: base.id,
  active: base,
  indexes,
});

/**
 * Whether a model is served that is neither the default nor part of a rollout: one that the settings name, except the
 * one in whose place a model was promoted that they do not name.
 */
export const staysServed = (id: string, { base, active }: RolloutState, configured: ReadonlySet<string>): boolean =>
  configured.has(id) && (id !== base || active.id === base || configured.has(active.id));
