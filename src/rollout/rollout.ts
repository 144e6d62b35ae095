import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../common/errors.js';
import { totalOf } from '../common/modality.js';
import type { Logger } from '../lib/log/logger.js';
import { type ModelManifest, modelId } from '../models/manifest.js';
import { divideWorkers, type ModelLoader } from '../serving/load-model.js';
import { directRouter, type ModelRegistry } from '../serving/model-registry.js';
import type { ServedModel } from '../serving/served-model.js';
import type { Filter } from '../store/vector-store.js';
import { DualWriter } from './dual-writer.js';
import type { RolloutMetrics } from './metrics.js';
import { missingItems } from './missing-items.js';
import type { OutOfSyncLog } from './out-of-sync-log.js';
import { type Candidate, RolloutRouter, type RoutingState } from './router.js';
import { type ComparisonSummary, ShadowComparison } from './shadow-comparison.js';
import { type ModelSource, type Pairing, type RolloutState, type StateFile, staysServed } from './state-file.js';

/** Longest time that a change of roles waits for the writes under way. */
const DRAIN_MS = 30_000;
/** Ids of out-of-sync items that the status lists. */
const LISTED_IDS = 20;

const NEEDS_OWN_STORE =
  'Replicas that share a vector store (STORE=chroma) cannot do a rollout: each would learn of it alone, and replies ' +
  'would alternate between two models. Start a second service with the new model and an index of its own, fill that ' +
  'index, and move the traffic there; or do the rollout in a service with STORE=faiss.';

export interface Traffic {
  /** Percent of searches that the candidate answers. */
  trafficPercent: number;
  /** Percent of the other searches that it repeats, for comparison. */
  shadowPercent: number;
}

/** A model of the rollout, in its status. */
export interface ModelStatus {
  id: string;
  /** Items in its index; absent when the store cannot be reached. */
  items?: number;
}

export interface RolloutStatus {
  /** `candidate`: one is being tried; `promoted`: it answers, and the previous model is kept in sync. */
  phase: 'none' | 'candidate' | 'promoted';
  default: ModelStatus;
  candidate?: ModelStatus & { loaded: boolean };
  previous?: ModelStatus & { loaded: boolean };
  share_percent: number;
  shadow_percent: number;
  since?: string;
  /** Items in which the second index is known to be out of sync. */
  missed: { count: number; ids: string[] };
  comparisons: ComparisonSummary;
}

/** Two models side by side, while a rollout runs. */
interface Pair {
  pairing: Pairing;
  dualWriter: DualWriter;
  shadow: ShadowComparison;
}

export interface RolloutParts {
  models: ModelRegistry;
  loader: ModelLoader;
  file: StateFile;
  metrics: RolloutMetrics;
  logger: Logger;
  /** Worker threads, divided among all models. */
  workers: number;
  /** Ids of the models that the settings name. */
  configured: ReadonlySet<string>;
  /** Whether other replicas may use the same store; they would not learn of a rollout. */
  isShared: boolean;
}

/**
 * Replaces the default model while the service runs: a candidate is loaded beside it, its index is kept in sync, it
 * shadows searches or answers a percentage of them, and is promoted or dropped. After a promotion the previous model
 * is kept in sync, so that a rollback is possible until it is dropped.
 */
export class Rollout implements RoutingState {
  private pair: Pair | undefined;
  private lastChange: Promise<unknown> = Promise.resolve();
  /** Writes wait for this while the models change roles. */
  private gate: Promise<void> | undefined;

  constructor(
    private readonly parts: RolloutParts,
    private state: RolloutState,
  ) {}

  /** Continues the rollout of the state file. @param other the second model, where it could be loaded */
  resume(other: ServedModel | undefined): void {
    const { pairing } = this.state;
    if (pairing !== undefined) this.beginPair(pairing, other, this.parts.file.openLog());
  }

  /** The candidate that is being tried, where it is loaded, and the traffic that it gets. */
  get candidate(): Candidate | undefined {
    if (this.pair?.pairing.phase !== 'candidate') return undefined;
    const { pairing, dualWriter, shadow } = this.pair;
    if (dualWriter.model === undefined) return undefined;
    return { model: dualWriter.model, shadow, trafficPercent: pairing.share, shadowPercent: pairing.shadow };
  }

  /** Whether two models are kept in sync. */
  get isActive(): boolean {
    return this.pair !== undefined;
  }

  /** Runs a write of `model`, with the dual writer that must apply it to the second index, if any. Waits while roles change. */
  async write<Result>(
    model: ServedModel,
    work: (dualWriter: DualWriter | undefined) => Promise<Result>,
  ): Promise<Result> {
    while (this.gate !== undefined) await this.gate;
    return work(this.dualWriterOf(model));
  }

  /** Deletes by filter; with a second index only while no other write runs, since no id says which write came first. */
  async deleteWhere(model: ServedModel, filter: Filter): Promise<number> {
    if (this.dualWriterOf(model) === undefined) return model.store.deleteWhere(filter);
    return this.exclusively(() =>
      this.withoutWrites(async () => {
        const dualWriter = this.dualWriterOf(model);
        return dualWriter === undefined ? model.store.deleteWhere(filter) : dualWriter.deleteWhere(model, filter);
      }),
    );
  }

  async status(): Promise<RolloutStatus> {
    const { models } = this.parts;
    const { pair } = this;
    const status = { default: await statusOf(models.default.id, models.default), share_percent: 0, shadow_percent: 0 };
    if (pair === undefined) {
      const comparisons = { count: 0, overlap_at_10: null, default_ms: null, candidate_ms: null };
      return { ...status, phase: 'none', missed: { count: 0, ids: [] }, comparisons };
    }
    const { pairing, dualWriter, shadow: comparison } = pair;
    const { phase, other, share, shadow, since } = pairing;
    const { model: second, outOfSync } = dualWriter;
    const otherStatus = { ...(await statusOf(other.id, second)), loaded: second !== undefined };
    return {
      ...status,
      phase: phase === 'candidate' ? 'candidate' : 'promoted',
      ...(phase === 'candidate' ? { candidate: otherStatus } : { previous: otherStatus }),
      share_percent: share,
      shadow_percent: shadow,
      since,
      missed: { count: outOfSync.count, ids: outOfSync.ids(LISTED_IDS) },
      comparisons: comparison.summary(),
    };
  }

  /** For the metrics. */
  get measurements(): { trafficPercent: number; outOfSync: number } {
    return {
      trafficPercent: this.pair?.pairing.share ?? 0,
      outOfSync: this.pair?.dualWriter.outOfSync.count ?? 0,
    };
  }

  /** Loads a candidate, or takes one that is served, and keeps its index in sync from now on. */
  start(source: string, { trafficPercent, shadowPercent }: Traffic): Promise<void> {
    return this.change(async () => {
      if (this.pair !== undefined) {
        throw conflict(`A rollout of ${this.pair.pairing.other.id} is running. Promote or drop it first.`);
      }
      const { models } = this.parts;
      const other = models.find(source) ?? (await this.load(source));
      if (other === models.default) throw conflict(`${other.id} is already the default model.`);
      const pairing: Pairing = {
        other: sourceOf(other),
        phase: 'candidate',
        share: trafficPercent,
        shadow: shadowPercent,
        since: new Date().toISOString(),
      };
      let outOfSync: OutOfSyncLog | undefined;
      try {
        outOfSync = await this.parts.file.createLog();
        await this.save({ ...this.state, pairing, indexes: { ...this.state.indexes, [other.id]: other.index } });
      } catch (error) {
        outOfSync?.remove();
        if (!models.all.includes(other)) await other.close();
        throw error;
      }
      models.add(other);
      this.beginPair(pairing, other, outOfSync);
      this.log('started');
    });
  }

  /** Changes the traffic of the candidate; what is undefined stays. */
  adjust(trafficPercent: number | undefined, shadowPercent: number | undefined): Promise<void> {
    return this.change(async () => {
      const pair = this.expect('candidate', 'share');
      const { share, shadow } = pair.pairing;
      const pairing = { ...pair.pairing, share: trafficPercent ?? share, shadow: shadowPercent ?? shadow };
      await this.save({ ...this.state, pairing });
      pair.pairing = pairing;
      this.log('adjusted');
    });
  }

  /**
   * Makes the candidate the default model.
   * @param force also when its index is known to be incomplete
   * @throws Problem `candidate_incomplete`
   */
  promote(force: boolean): Promise<void> {
    return this.change(async () => {
      const { dualWriter, pairing } = this.expect('candidate', 'promote');
      if (dualWriter.model === undefined) throw conflict(`${pairing.other.id} is not loaded; the log says why.`);
      if (!force) await this.checkComplete(dualWriter.model, dualWriter);
      await this.swap('previous', force);
      this.log('promoted');
    });
  }

  /** Makes the previous model the default again; the promoted one becomes a candidate without traffic. */
  rollback(force: boolean): Promise<void> {
    return this.change(async () => {
      const { dualWriter, pairing } = this.expect('previous', 'roll back');
      if (dualWriter.model === undefined) throw conflict(`${pairing.other.id} is not loaded; the log says why.`);
      if (!force) await this.checkComplete(dualWriter.model, dualWriter);
      await this.swap('candidate', force);
      this.log('rolled back');
    });
  }

  /** Ends the rollout and unloads the model that is not the default. Its index stays on disk. */
  drop(): Promise<void> {
    return this.change(async () => {
      if (this.pair === undefined) throw conflict('There is no rollout.');
      const { dualWriter } = this.pair;
      const { pairing: _, ...rest } = this.state;
      await this.save(rest);
      this.log('dropped');
      this.pair = undefined;
      this.parts.models.router = directRouter;
      await dualWriter.drained(DRAIN_MS);
      dualWriter.outOfSync.remove();
      const { model } = dualWriter;
      if (model !== undefined && !staysServed(model.id, this.state, this.parts.configured)) await this.unload(model);
    });
  }

  /** Finishes the change and the writes under way; does not close the models. */
  async close(): Promise<void> {
    await this.lastChange;
    await this.pair?.dualWriter.drained(DRAIN_MS);
    this.pair?.dualWriter.outOfSync.close();
  }

  private dualWriterOf(model: ServedModel): DualWriter | undefined {
    return model === this.parts.models.default ? this.pair?.dualWriter : undefined;
  }

  /** @throws Problem `model_not_usable` */
  private async load(source: string): Promise<ServedModel> {
    const { models, loader, workers } = this.parts;
    try {
      const model = await loader.read(source);
      const served = models.find(modelId(model.manifest));
      if (served !== undefined) return served;
      const [ownWorkers = 1] = divideWorkers(workers, models.all.length + 1).slice(-1);
      const absolute = source.startsWith('.') ? path.resolve(source) : source;
      return await loader.open(absolute, model, { workers: ownWorkers, index: this.indexOf(model.manifest) });
    } catch (error) {
      if (error instanceof Problem) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new Problem('model_not_usable', reason, { field: 'model' }, { cause: error });
    }
  }

  /** Two revisions of a model have separate indexes. */
  private indexOf(manifest: Pick<ModelManifest, 'name' | 'revision'>): string {
    const { name, revision } = manifest;
    const known = this.state.indexes[modelId(manifest)];
    if (known !== undefined) return known;
    const isTaken = this.parts.models.all.some(({ index }) => index === name);
    return isTaken ? `${name}-${revision.replace(/[^A-Za-z0-9._-]/g, '-')}` : name;
  }

  /** Requests that use the model finish first; those that take long finish in the background. */
  private async unload(model: ServedModel): Promise<void> {
    const closing = this.parts.models
      .retire(model)
      .catch((err: unknown) => this.parts.logger.error({ err }, 'rollout: closing a model'));
    await Promise.race([closing, sleep(DRAIN_MS, undefined, { ref: false })]);
  }

  private expect(phase: Pairing['phase'], what: string): Pair {
    if (this.pair?.pairing.phase === phase) return this.pair;
    const missing = phase === 'candidate' ? 'there is no candidate' : 'no candidate was promoted';
    throw conflict(`Cannot ${what}: ${missing}.`);
  }

  /** The two models change roles while no write runs. */
  private swap(phase: Pairing['phase'], force: boolean): Promise<void> {
    return this.withoutWrites(async () => {
      const { models } = this.parts;
      const { dualWriter, pairing } = this.pair as Pair;
      if (!force && dualWriter.outOfSync.count > 0)
        throw conflict('A write has just failed in the second index; see the status.');
      const [before, after] = [models.default, dualWriter.model as ServedModel];
      const other = sourceOf(before);
      const swapped = { ...pairing, other, phase, share: 0, shadow: 0 };
      await this.save({ ...this.state, active: sourceOf(after), pairing: swapped });
      models.default = after;
      dualWriter.outOfSync.clear();
      this.beginPair(swapped, before, dualWriter.outOfSync);
    });
  }

  /**
   * Waits for the writes that are still on their way to the second index after their reply, then compares.
   * @throws Problem `candidate_incomplete`
   */
  private async checkComplete({ store, id }: ServedModel, dualWriter: DualWriter): Promise<void> {
    await dualWriter.drained(DRAIN_MS);
    const { outOfSync } = dualWriter;
    const { count, ids } = await missingItems(store, this.parts.models.default.store);
    if (count === 0 && outOfSync.count === 0) return;
    const detail =
      `The index of ${id} does not have ${count} items of the default model, and ${outOfSync.count} items are out of ` +
      'sync. Store them again while the rollout runs, or force the promotion.';
    const some = [...new Set([...ids, ...outOfSync.ids(LISTED_IDS)])].slice(0, LISTED_IDS);
    throw new Problem('candidate_incomplete', detail, { lacking: count, missed: outOfSync.count, ids: some });
  }

  private beginPair(pairing: Pairing, other: ServedModel | undefined, outOfSync: OutOfSyncLog): void {
    const { metrics, logger, models } = this.parts;
    const dualWriter = new DualWriter(other, outOfSync, metrics, logger);
    this.pair = { pairing, dualWriter, shadow: new ShadowComparison(models, metrics, logger) };
    models.router = new RolloutRouter(this, models, metrics, logger);
  }

  private async save(state: RolloutState): Promise<void> {
    await this.parts.file.write(state);
    this.state = state;
  }

  /** Runs work while no write runs. @throws Problem when the writes under way do not end in time */
  private async withoutWrites<Result>(work: () => Promise<Result>): Promise<Result> {
    let open = () => {};
    this.gate = new Promise((resolve) => {
      open = resolve;
    });
    try {
      if (await this.pair?.dualWriter.drained(DRAIN_MS)) return await work();
      throw conflict('Writes that are under way do not end. Try again.');
    } finally {
      this.gate = undefined;
      open();
    }
  }

  /** @throws Problem `rollout_unsupported` where other replicas would not learn of the change */
  private async change(work: () => Promise<void>): Promise<void> {
    if (this.parts.isShared) throw new Problem('rollout_unsupported', NEEDS_OWN_STORE);
    await this.exclusively(work);
  }

  /** One change at a time. */
  private exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.lastChange.then(work);
    this.lastChange = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  private log(what: string): void {
    const { active, pairing } = this.state;
    const { other, share, shadow } = pairing ?? {};
    this.parts.logger.info({ default: active.id, other: other?.id, share, shadow }, `rollout: ${what}`);
  }
}

const sourceOf = ({ source, id }: ServedModel): ModelSource => ({ source, id });

const conflict = (detail: string) => new Problem('rollout_conflict', detail);

async function statusOf(id: string, model: ServedModel | undefined): Promise<ModelStatus> {
  const counts = await model?.store.count().catch(() => undefined);
  return counts === undefined ? { id } : { id, items: totalOf(counts) };
}
