import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../common/errors.js';
import { totalOf } from '../common/modality.js';
import type { Logger } from '../lib/logger.js';
import type { ModelManifest } from '../models/manifest.js';
import { type ModelLoader, shareWorkers } from '../serving/load-model.js';
import type { Models } from '../serving/model-registry.js';
import { modelId, type ServedModel } from '../serving/served-model.js';
import type { Filter } from '../store/vector-store.js';
import { Mirror } from './dual-writer.js';
import type { RolloutMetrics } from './metrics.js';
import { lackingIn } from './missing-items.js';
import { MissedItems } from './out-of-sync-log.js';
import { type ComparisonSummary, Comparisons } from './shadow-comparison.js';
import { type Pairing, type Place, type RolloutState, type StateFile, staysServed } from './state-file.js';

/** How long a change of roles waits for the writes under way. */
const DRAIN_MS = 30_000;
/** Ids of missed items that the status names. */
const NAMED_IDS = 20;

export interface Shares {
  /** Percent of searches that the candidate answers. */
  share: number;
  /** Percent of the others that it is given as well. */
  shadow: number;
}

/** A model that the rollout speaks of. */
export interface Party {
  id: string;
  /** Items in its index; absent when it cannot be told. */
  items?: number;
}

export interface RolloutStatus {
  /** candidate: one is being tried; promoted: it answers, and the model before it is kept level; none. */
  phase: 'none' | 'candidate' | 'promoted';
  default: Party;
  candidate?: Party & { loaded: boolean };
  previous?: Party & { loaded: boolean };
  share_percent: number;
  shadow_percent: number;
  since?: string;
  /** Writes that the index of the candidate, or of the model before, is known to lack. */
  missed: { count: number; ids: string[] };
  comparisons: ComparisonSummary;
}

/** Two models side by side, while a rollout is on. */
interface Pair {
  pairing: Pairing;
  mirror: Mirror;
  comparisons: Comparisons;
}

export interface RolloutParts {
  models: Models;
  loader: ModelLoader;
  file: StateFile;
  metrics: RolloutMetrics;
  logger: Logger;
  /** Session threads that all models share. */
  workers: number;
  /** Ids of the models that the settings name. */
  configured: ReadonlySet<string>;
}

/**
 * How a model takes the place of another while the service goes on: a candidate is loaded beside the default model,
 * its index is kept level, it shadows searches or answers a share of them, and is promoted or dropped. After a
 * promotion the model before is kept level in its turn, so that the way back stays open until it is dropped.
 */
export class Rollout {
  private pair: Pair | undefined;
  private turn: Promise<unknown> = Promise.resolve();
  /** Writes wait for it while the models change roles. */
  private gate: Promise<void> | undefined;

  constructor(
    private readonly parts: RolloutParts,
    private state: RolloutState,
  ) {}

  /** Goes on where the state file says. @param other the second model, where it could be loaded */
  resume(other: ServedModel | undefined): void {
    const { pairing } = this.state;
    if (pairing !== undefined) this.pair = this.pairWith(pairing, other);
  }

  /** What searches need to know of the candidate that is being tried, where it is loaded. */
  get candidate(): (Shares & { model: ServedModel; comparisons: Comparisons }) | undefined {
    if (this.pair?.pairing.phase !== 'candidate') return undefined;
    const { pairing, mirror, comparisons } = this.pair;
    if (mirror.model === undefined) return undefined;
    return { model: mirror.model, comparisons, share: pairing.share, shadow: pairing.shadow };
  }

  /** Runs a write by `model`, with the mirror that has to follow it, if any. Waits while the roles change. */
  async write<Result>(model: ServedModel, work: (mirror: Mirror | undefined) => Promise<Result>): Promise<Result> {
    while (this.gate !== undefined) await this.gate;
    return work(this.mirrorOf(model));
  }

  /** Deletes by filter, where a second index follows while no other write is under way: no id tells their order. */
  async deleteWhere(model: ServedModel, filter: Filter): Promise<number> {
    if (this.mirrorOf(model) === undefined) return model.store.deleteWhere(filter);
    return this.exclusively(() =>
      this.undisturbed(async () => {
        const mirror = this.mirrorOf(model);
        return mirror === undefined ? model.store.deleteWhere(filter) : mirror.deleteWhere(model, filter);
      }),
    );
  }

  async status(): Promise<RolloutStatus> {
    const { models } = this.parts;
    const { pair } = this;
    const status = { default: await partyOf(models.default.id, models.default), share_percent: 0, shadow_percent: 0 };
    if (pair === undefined) {
      const comparisons = { count: 0, overlap_at_10: null, default_ms: null, candidate_ms: null };
      return { ...status, phase: 'none', missed: { count: 0, ids: [] }, comparisons };
    }
    const { pairing, mirror, comparisons } = pair;
    const { phase, other, share, shadow, since } = pairing;
    const party = { ...(await partyOf(other.id, mirror.model)), loaded: mirror.model !== undefined };
    return {
      ...status,
      phase: phase === 'candidate' ? 'candidate' : 'promoted',
      ...(phase === 'candidate' ? { candidate: party } : { previous: party }),
      share_percent: share,
      shadow_percent: shadow,
      since,
      missed: { count: mirror.missed.count, ids: mirror.missed.ids(NAMED_IDS) },
      comparisons: comparisons.summary(),
    };
  }

  /** For the metrics. */
  get now(): { share: number; missed: number } {
    return { share: this.pair?.pairing.share ?? 0, missed: this.pair?.mirror.missed.count ?? 0 };
  }

  /** Loads a candidate, or takes one that is served, and keeps its index level from now on. */
  start(source: string, shares: Shares): Promise<void> {
    return this.exclusively(async () => {
      if (this.pair !== undefined) {
        throw conflict(`A rollout of ${this.pair.pairing.other.id} is on. Promote or drop it first.`);
      }
      const { models } = this.parts;
      const other = models.find(source) ?? (await this.load(source));
      if (other === models.default) throw conflict(`${other.id} is the default model already.`);
      const pairing: Pairing = {
        other: placeOf(other),
        phase: 'candidate',
        ...shares,
        since: new Date().toISOString(),
      };
      rmSync(this.parts.file.missedFile, { force: true });
      try {
        await this.save({ ...this.state, pairing, indexes: { ...this.state.indexes, [other.id]: other.index } });
      } catch (error) {
        if (!models.all.includes(other)) await other.close();
        throw error;
      }
      models.add(other);
      this.pair = this.pairWith(pairing, other);
      this.log('started');
    });
  }

  /** Changes who answers how much. */
  adjust(shares: Partial<Shares>): Promise<void> {
    return this.exclusively(async () => {
      const pair = this.expect('candidate', 'share');
      const pairing = { ...pair.pairing, ...shares };
      await this.save({ ...this.state, pairing });
      pair.pairing = pairing;
      this.log('adjusted');
    });
  }

  /**
   * Makes the candidate the default model.
   * @param force also when its index is known to lack items
   * @throws Problem `candidate_incomplete`
   */
  promote(force: boolean): Promise<void> {
    return this.exclusively(async () => {
      const { mirror, pairing } = this.expect('candidate', 'promote');
      if (mirror.model === undefined) throw conflict(`${pairing.other.id} is not loaded; the log says why.`);
      if (!force) await this.checkComplete(mirror.model, mirror.missed);
      await this.swap('previous', force);
      this.log('promoted');
    });
  }

  /** Makes the model before the promotion the default again; the promoted one is a candidate without searches. */
  rollback(force: boolean): Promise<void> {
    return this.exclusively(async () => {
      const { mirror, pairing } = this.expect('previous', 'roll back');
      if (mirror.model === undefined) throw conflict(`${pairing.other.id} is not loaded; the log says why.`);
      if (!force) await this.checkComplete(mirror.model, mirror.missed);
      await this.swap('candidate', force);
      this.log('rolled back');
    });
  }

  /** Ends the rollout: the model that does not answer is given up. Its index stays on disk. */
  drop(): Promise<void> {
    return this.exclusively(async () => {
      if (this.pair === undefined) throw conflict('There is no rollout.');
      const { mirror } = this.pair;
      const { pairing: _, ...rest } = this.state;
      await this.save(rest);
      this.log('dropped');
      this.pair = undefined;
      await mirror.drained(DRAIN_MS);
      this.forget(mirror);
      if (mirror.model !== undefined && !staysServed(mirror.model.id, this.state, this.parts.configured)) {
        await this.unload(mirror.model);
      }
    });
  }

  /** Ends what is under way; the models are closed by who opened them. */
  async close(): Promise<void> {
    await this.turn;
    await this.pair?.mirror.drained(DRAIN_MS);
    this.pair?.mirror.missed.close();
  }

  private mirrorOf(model: ServedModel): Mirror | undefined {
    return model === this.parts.models.default ? this.pair?.mirror : undefined;
  }

  /** @throws Problem `model_not_usable` */
  private async load(source: string): Promise<ServedModel> {
    const { models, loader, workers } = this.parts;
    try {
      const model = await loader.read(source);
      const served = models.find(modelId(model.manifest));
      if (served !== undefined) return served;
      const [share = 1] = shareWorkers(workers, models.all.length + 1).slice(-1);
      const place = source.startsWith('.') ? path.resolve(source) : source;
      return await loader.open(place, model, { workers: share, index: this.indexOf(model.manifest) });
    } catch (error) {
      if (error instanceof Problem) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new Problem('model_not_usable', reason, { field: 'model' }, { cause: error });
    }
  }

  /** Two revisions of a model have an index each. */
  private indexOf(manifest: Pick<ModelManifest, 'name' | 'revision'>): string {
    const { name, revision } = manifest;
    const known = this.state.indexes[modelId(manifest)];
    if (known !== undefined) return known;
    const isTaken = this.parts.models.all.some(({ index }) => index === name);
    return isTaken ? `${name}-${revision.replace(/[^A-Za-z0-9._-]/g, '-')}` : name;
  }

  /** Requests that have it already are finished first, those that take long behind our back. */
  private async unload(model: ServedModel): Promise<void> {
    this.parts.models.remove(model);
    const closing = model.close().catch((err: unknown) => this.parts.logger.error({ err }, 'rollout: closing a model'));
    await Promise.race([closing, sleep(DRAIN_MS, undefined, { ref: false })]);
  }

  private expect(phase: Pairing['phase'], what: string): Pair {
    if (this.pair?.pairing.phase === phase) return this.pair;
    const missing = phase === 'candidate' ? 'there is no candidate' : 'no candidate was promoted';
    throw conflict(`Cannot ${what}: ${missing}.`);
  }

  /** The two models change roles, between writes. */
  private swap(phase: Pairing['phase'], force: boolean): Promise<void> {
    return this.undisturbed(async () => {
      const { models } = this.parts;
      const { mirror, pairing } = this.pair as Pair;
      if (!force && mirror.missed.count > 0) throw conflict('A write was missed just now; see the status.');
      const [before, after] = [models.default, mirror.model as ServedModel];
      const other = placeOf(before);
      const swapped = { ...pairing, other, phase, share: 0, shadow: 0 };
      await this.save({ ...this.state, active: placeOf(after), pairing: swapped });
      models.default = after;
      this.forget(mirror);
      this.pair = this.pairWith(swapped, before);
    });
  }

  /** @throws Problem `candidate_incomplete` */
  private async checkComplete({ store, id }: ServedModel, missed: MissedItems): Promise<void> {
    const { count, ids } = await lackingIn(store, this.parts.models.default.store);
    if (count === 0 && missed.count === 0) return;
    const detail =
      `The index of ${id} lacks ${count} items that the default model has, and missed ${missed.count} writes. ` +
      'Store them again while the rollout is on, or force it.';
    const some = [...new Set([...ids, ...missed.ids(NAMED_IDS)])].slice(0, NAMED_IDS);
    throw new Problem('candidate_incomplete', detail, { lacking: count, missed: missed.count, ids: some });
  }

  private pairWith(pairing: Pairing, other: ServedModel | undefined): Pair {
    const { file, metrics, logger } = this.parts;
    const mirror = new Mirror(other, MissedItems.open(file.missedFile), metrics, logger);
    return { pairing, mirror, comparisons: new Comparisons(metrics, logger) };
  }

  private forget({ missed }: Mirror): void {
    missed.close();
    rmSync(this.parts.file.missedFile, { force: true });
  }

  private async save(state: RolloutState): Promise<void> {
    await this.parts.file.write(state);
    this.state = state;
  }

  /** Runs work while no write is under way. @throws Problem when those under way do not end */
  private async undisturbed<Result>(work: () => Promise<Result>): Promise<Result> {
    let open = () => {};
    this.gate = new Promise((resolve) => {
      open = resolve;
    });
    try {
      if (await this.pair?.mirror.drained(DRAIN_MS)) return await work();
      throw conflict('Writes that are under way do not end. Try again.');
    } finally {
      this.gate = undefined;
      open();
    }
  }

  /** One change at a time. */
  private exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.turn.then(work);
    this.turn = result.then(
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

const placeOf = ({ source, id }: ServedModel): Place => ({ source, id });

const conflict = (detail: string) => new Problem('rollout_conflict', detail);

async function partyOf(id: string, model: ServedModel | undefined): Promise<Party> {
  const counts = await model?.store.count().catch(() => undefined);
  return counts === undefined ? { id } : { id, items: totalOf(counts) };
}
