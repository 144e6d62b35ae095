import { Problem } from '../common/errors.js';
import type { CallContext } from '../embedding/call-context.js';
import type { NewItem } from '../items/new-item.js';
import type { PutOptions } from '../items/put-items.js';
import type { Logger } from '../lib/log/logger.js';
import type { SearchRequest } from '../search/search.js';
import { directRouter, type ModelRegistry } from '../serving/model-registry.js';
import type { Router, SearchReply, SearchTarget } from '../serving/router.js';
import type { ServedModel } from '../serving/served-model.js';
import type { Filter, Item } from '../store/vector-store.js';
import { bucketOf } from './bucket.js';
import type { DualWriter } from './dual-writer.js';
import type { RolloutMetrics } from './metrics.js';
import type { ShadowComparison } from './shadow-comparison.js';

/** A candidate that is being tried, and the traffic that it gets. */
export interface Candidate {
  model: ServedModel;
  /** Percent of searches that it answers. */
  trafficPercent: number;
  /** Percent of the other searches that it repeats, for comparison. */
  shadowPercent: number;
  shadow: ShadowComparison;
}

/** What the router needs to know of the rollout. */
export interface RoutingState {
  readonly candidate: Candidate | undefined;
  /** Runs a write of `model`, with the dual writer that must apply it to the second index, if any. */
  write<Result>(model: ServedModel, work: (dualWriter: DualWriter | undefined) => Promise<Result>): Promise<Result>;
  deleteWhere(model: ServedModel, filter: Filter): Promise<number>;
}

/** Routes requests while a rollout runs: some searches go to the candidate, and writes go to both indexes. */
export class RolloutRouter implements Router {
  constructor(
    private readonly rollout: RoutingState,
    private readonly models: ModelRegistry,
    private readonly metrics: RolloutMetrics,
    private readonly logger: Logger,
  ) {}

  async search(request: SearchRequest, target: SearchTarget, context: CallContext): Promise<SearchReply> {
    const { model, isNamed, key } = target;
    // A ready vector belongs to the default model alone.
    const isFree = !isNamed && !request.terms.some((term) => 'vector' in term);
    const candidate = isFree ? this.rollout.candidate : undefined;
    if (candidate === undefined) return directRouter.search(request, target, context);
    if (bucketOf(key, 'share') < candidate.trafficPercent)
      return this.searchCandidate(request, target, candidate.model, context);
    this.metrics.reads.inc({ outcome: 'default' });
    const { shadow } = candidate;
    const isCompared = bucketOf(key, 'shadow') < candidate.shadowPercent && shadow.hasCapacity();
    const start = performance.now();
    const reply = await directRouter.search(request, target, context);
    if (!isCompared) return reply;
    const answered = { request, results: reply.results, tookMs: performance.now() - start };
    void shadow.compareAfterReply(model, candidate.model, answered, context);
    return reply;
  }

  /** The candidate must not fail a request: when it fails, the default model answers. */
  private async searchCandidate(
    request: SearchRequest,
    target: SearchTarget,
    candidate: ServedModel,
    context: CallContext,
  ): Promise<SearchReply> {
    const release = this.models.lease(candidate);
    try {
      const reply = await directRouter.search(request, { ...target, model: candidate }, context);
      this.metrics.reads.inc({ outcome: 'candidate' });
      return reply;
    } catch (error) {
      if (error instanceof Problem && error.code === 'client_closed') throw error;
      // An invalid request fails here as well, and is not counted as a fallback.
      const reply = await directRouter.search(request, target, context);
      this.metrics.reads.inc({ outcome: 'fallback' });
      this.logger.warn({ err: error, model: candidate.id }, 'rollout: the candidate failed a search');
      return reply;
    } finally {
      release();
    }
  }

  put(
    model: ServedModel,
    items: readonly NewItem[],
    options: PutOptions,
    context: CallContext,
  ): Promise<(Item | Problem)[]> {
    return this.rollout.write(model, (dualWriter) => (dualWriter ?? directRouter).put(model, items, options, context));
  }

  delete(model: ServedModel, ids: readonly string[]): Promise<number> {
    return this.rollout.write(model, (dualWriter) => (dualWriter ?? directRouter).delete(model, ids));
  }

  deleteWhere(model: ServedModel, filter: Filter): Promise<number> {
    return this.rollout.deleteWhere(model, filter);
  }
}
