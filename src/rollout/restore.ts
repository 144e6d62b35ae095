import type { Config } from '../config.js';
import type { Logger } from '../lib/log/logger.js';
import type { Model } from '../models/catalog.js';
import { modelId } from '../models/manifest.js';
import { divideWorkers, type ModelLoader } from '../serving/load-model.js';
import { ModelRegistry, modelSources } from '../serving/model-registry.js';
import type { ServedModel } from '../serving/served-model.js';
import { isShared } from '../store/open-store.js';
import { initialState, type ModelSource, type RolloutState, type StateFile, staysServed } from './state-file.js';

/** A model to be served. */
interface Planned {
  source: string;
  model: Model;
}

export interface OpenedModels {
  models: ModelRegistry;
  state: RolloutState;
  /** The second model of the rollout, where one runs and its second model could be loaded. */
  other: ServedModel | undefined;
  /** Ids of the models that the settings name. */
  configured: ReadonlySet<string>;
}

/**
 * Opens the models that the settings name, and those of a rollout: beside the first, or instead of it.
 * @throws Error that says what is missing or wrong
 */
export async function openModels(
  config: Config,
  loader: ModelLoader,
  file: StateFile,
  logger: Logger,
): Promise<OpenedModels> {
  const named = await readConfigured(config, loader);
  const configured = new Set(named.map(({ model }) => modelId(model.manifest)));
  const state = await readState(file, named[0], logger);
  if (isShared(config)) refuseRollout(state);
  const { active, pairing } = state;
  const answering = await plan(active, named, loader);
  const other =
    pairing && (await plan(pairing.other, named, loader).catch((error: unknown) => logFailure(error, logger)));
  const others = [...(other === undefined ? [] : [other]), ...named].filter(({ model }, i, all) => {
    const id = modelId(model.manifest);
    const isFirst = all.findIndex((one) => modelId(one.model.manifest) === id) === i;
    return isFirst && id !== active.id && (id === pairing?.other.id || staysServed(id, state, configured));
  });
  const opened = await openAll([answering, ...others], state, config, loader);
  const [first, ...rest] = opened as [ServedModel, ...ServedModel[]];
  const second = rest.find(({ id }) => id === pairing?.other.id);
  return { models: new ModelRegistry(first, ...rest), state, other: second, configured };
}

async function readConfigured(config: Config, loader: ModelLoader): Promise<[Planned, ...Planned[]]> {
  const sources = modelSources(config);
  const named = await Promise.all(sources.map(async (source) => ({ source, model: await loader.read(source) })));
  const nameOf = ({ model }: Planned) => model.manifest.name;
  for (const one of named) {
    const twin = named.find((other) => nameOf(other) === nameOf(one)) as Planned;
    if (twin !== one) throw new Error(`MODELS: "${twin.source}" and "${one.source}" are both ${nameOf(one)}.`);
  }
  return named as [Planned, ...Planned[]];
}

/** The state of the last rollout, unless the settings now name another first model. */
async function readState(file: StateFile, { source, model }: Planned, logger: Logger): Promise<RolloutState> {
  const base = { source, id: modelId(model.manifest) };
  const state = await file.read();
  if (state === undefined) return initialState(base);
  if (state.base === base.id) return state;
  const fresh = initialState(base, state.indexes);
  logger.warn({ before: state.base, now: base.id }, 'rollout: ended, because the settings name another first model');
  // On a full disk the service still answers; the next start ends the rollout again.
  await file.write(fresh).catch((error: unknown) => logger.error({ err: error }, 'rollout: its end cannot be written'));
  return fresh;
}

/** Replicas that share a store do not share a rollout: the models come from the settings alone. @throws Error */
function refuseRollout({ base, active, pairing }: RolloutState): void {
  if (active.id === base && pairing === undefined) return;
  throw new Error(
    `DATA_DIR/rollout has a rollout in which ${active.id} answers, but other replicas on this store (STORE=chroma) do ` +
      `not know of it. Either set MODEL=${active.source}, or remove DATA_DIR/rollout to run ${base} again; and the ` +
      'same at every replica.',
  );
}

/** @throws Error when the model is no longer there, or its folder now has another one */
async function plan({ source, id }: ModelSource, named: readonly Planned[], loader: ModelLoader): Promise<Planned> {
  const known = named.find(({ model }) => modelId(model.manifest) === id);
  if (known !== undefined) return known;
  const model = await loader.read(source);
  if (modelId(model.manifest) === id) return { source, model };
  throw new Error(`The rollout needs ${id}, but ${source} has ${modelId(model.manifest)}.`);
}

/** Without its second model the service runs, and every write is recorded as out of sync. */
function logFailure(error: unknown, logger: Logger): undefined {
  logger.error({ err: error }, 'rollout: the second model cannot be loaded');
}

async function openAll(
  models: readonly Planned[],
  { indexes }: RolloutState,
  { ENCODER_WORKERS }: Config,
  loader: ModelLoader,
): Promise<ServedModel[]> {
  const workers = divideWorkers(ENCODER_WORKERS, models.length);
  const opened: ServedModel[] = [];
  try {
    // One after the other: loading a model takes all cores and extra memory for a moment.
    for (const [i, { source, model }] of models.entries()) {
      const index = indexes[modelId(model.manifest)];
      opened.push(await loader.open(source, model, { workers: workers[i] as number, index }));
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map((model) => model.close()));
    throw error;
  }
}
