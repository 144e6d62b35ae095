import type { Config } from '../config.js';
import type { Logger } from '../lib/logger.js';
import type { Model } from '../models/catalog.js';
import { type ModelLoader, shareWorkers } from '../serving/load-model.js';
import { Models, modelSources } from '../serving/model-registry.js';
import { modelId, type ServedModel } from '../serving/served-model.js';
import { initialState, type Place, type RolloutState, type StateFile, staysServed } from './state-file.js';

/** A model that is to be served. */
interface Planned {
  source: string;
  model: Model;
}

export interface OpenedModels {
  models: Models;
  state: RolloutState;
  /** The second model of the rollout, where one is on and it could be loaded. */
  other: ServedModel | undefined;
  /** Ids of the models that the settings name. */
  configured: ReadonlySet<string>;
}

/**
 * Opens the models that the settings name, and those that a rollout has put beside or in the place of the first.
 * @throws Error that says what is missing or wrong
 */
export async function openModels(
  config: Config,
  loader: ModelLoader,
  file: StateFile,
  logger: Logger,
): Promise<OpenedModels> {
  const named = await readNamed(config, loader);
  const configured = new Set(named.map(({ model }) => modelId(model.manifest)));
  const state = await readState(file, named[0], logger);
  const { active, pairing } = state;
  const answering = await plannedAt(active, named, loader);
  const other =
    pairing && (await plannedAt(pairing.other, named, loader).catch((error: unknown) => note(error, logger)));
  const others = [...(other === undefined ? [] : [other]), ...named].filter(({ model }, place, all) => {
    const id = modelId(model.manifest);
    const isFirst = all.findIndex((one) => modelId(one.model.manifest) === id) === place;
    return isFirst && id !== active.id && (id === pairing?.other.id || staysServed(id, state, configured));
  });
  const opened = await openAll([answering, ...others], state, config, loader);
  const [first, ...rest] = opened as [ServedModel, ...ServedModel[]];
  const second = rest.find(({ id }) => id === pairing?.other.id);
  return { models: new Models(first, ...rest), state, other: second, configured };
}

async function readNamed(config: Config, loader: ModelLoader): Promise<[Planned, ...Planned[]]> {
  const sources = modelSources(config);
  const named = await Promise.all(sources.map(async (source) => ({ source, model: await loader.read(source) })));
  const nameOf = ({ model }: Planned) => model.manifest.name;
  for (const one of named) {
    const twin = named.find((other) => nameOf(other) === nameOf(one)) as Planned;
    if (twin !== one) throw new Error(`MODELS: "${twin.source}" and "${one.source}" are both ${nameOf(one)}.`);
  }
  return named as [Planned, ...Planned[]];
}

/** Where the last rollout got to, unless the settings now start from another model. */
async function readState(file: StateFile, { source, model }: Planned, logger: Logger): Promise<RolloutState> {
  const base = { source, id: modelId(model.manifest) };
  const state = await file.read();
  if (state === undefined) return initialState(base);
  if (state.base === base.id) return state;
  const fresh = initialState(base, state.indexes);
  logger.warn({ before: state.base, now: base.id }, 'rollout: ended, because the settings name another first model');
  await file.write(fresh);
  return fresh;
}

/** @throws Error when the model is not where it was, or is another by now */
async function plannedAt({ source, id }: Place, named: readonly Planned[], loader: ModelLoader): Promise<Planned> {
  const known = named.find(({ model }) => modelId(model.manifest) === id);
  if (known !== undefined) return known;
  const model = await loader.read(source);
  if (modelId(model.manifest) === id) return { source, model };
  throw new Error(`The rollout needs ${id}, and ${source} holds ${modelId(model.manifest)}.`);
}

/** The service goes on without the second model; every write then counts as missed. */
function note(error: unknown, logger: Logger): undefined {
  logger.error({ err: error }, 'rollout: the second model cannot be loaded');
}

async function openAll(
  planned: readonly Planned[],
  { indexes }: RolloutState,
  { ENCODER_WORKERS }: Config,
  loader: ModelLoader,
): Promise<ServedModel[]> {
  const shares = shareWorkers(ENCODER_WORKERS, planned.length);
  const opened: ServedModel[] = [];
  try {
    // One after the other: loading takes more memory, and all cores, for a moment.
    for (const [place, { source, model }] of planned.entries()) {
      const index = indexes[modelId(model.manifest)];
      opened.push(await loader.open(source, model, { workers: shares[place] as number, index }));
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map((model) => model.close()));
    throw error;
  }
}
