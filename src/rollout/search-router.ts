import { Problem } from '../common/errors.js';
import type { EmbedOptions } from '../embedding/embedder.js';
import type { Logger } from '../lib/logger.js';
import { disposeTerms } from '../search/query-terms.js';
import type { Found, SearchRequest } from '../search/search.js';
import { shareTerms } from '../search/share-terms.js';
import type { Models } from '../serving/model-registry.js';
import type { ServedModel } from '../serving/served-model.js';
import { lot } from './bucket.js';
import type { RolloutMetrics } from './metrics.js';
import type { Rollout } from './rollout.js';

export interface SearchCall {
  /** The model that the caller named; without one a rollout decides. */
  named?: ServedModel | undefined;
  /** The same key is answered by the same model. */
  key: string;
  /** How what a model computes is cancelled and timed. */
  optionsFor(model: ServedModel): EmbedOptions;
}

export interface Answer {
  found: Found[];
  model: ServedModel;
  /** To be called when the reply has been sent. */
  afterwards?: () => void;
}

/** Answers searches: by the model that a caller chose, or as the rollout has it. */
export class Searches {
  constructor(
    private readonly models: Models,
    private readonly rollout: Rollout,
    private readonly metrics: RolloutMetrics,
    private readonly logger: Logger,
  ) {}

  /** Takes the uploads of the terms over. */
  async search(request: SearchRequest, call: SearchCall): Promise<Answer> {
    const { named, key } = call;
    const first = named ?? this.models.default;
    // A ready vector is of the default model alone.
    const isOpen = named === undefined && !request.terms.some((term) => 'vector' in term);
    const candidate = isOpen ? this.rollout.candidate : undefined;
    if (candidate === undefined) return { found: await ask(first, request, call), model: first };
    if (lot(key, 'share') < candidate.share) return this.tryCandidate(first, candidate.model, request, call);
    this.metrics.reads.inc({ outcome: 'default' });
    const isCompared = lot(key, 'shadow') < candidate.shadow && candidate.comparisons.hasRoom();
    if (!isCompared) return { found: await ask(first, request, call), model: first };
    const [mine, theirs] = shareTerms(request.terms);
    try {
      const start = performance.now();
      const found = await ask(first, { ...request, terms: mine }, call);
      const answered = { request: { ...request, terms: theirs }, found, tookMs: performance.now() - start };
      const afterwards = () => void candidate.comparisons.compare(first, candidate.model, answered);
      return { found, model: first, afterwards };
    } catch (error) {
      await disposeTerms(theirs);
      throw error;
    }
  }

  /** The candidate's failure is not the caller's trouble: then the default model answers. */
  private async tryCandidate(
    first: ServedModel,
    candidate: ServedModel,
    request: SearchRequest,
    call: SearchCall,
  ): Promise<Answer> {
    const [theirs, mine] = shareTerms(request.terms);
    try {
      const found = await ask(candidate, { ...request, terms: theirs }, call);
      await disposeTerms(mine);
      this.metrics.reads.inc({ outcome: 'candidate' });
      return { found, model: candidate };
    } catch (error) {
      if (error instanceof Problem && error.code === 'client_closed') {
        await disposeTerms(mine);
        throw error;
      }
      // Where the request itself is wrong, this throws too.
      const found = await ask(first, { ...request, terms: mine }, call);
      this.metrics.reads.inc({ outcome: 'fallback' });
      this.logger.warn({ err: error, model: candidate.id }, 'rollout: the candidate failed a search');
      return { found, model: first };
    }
  }
}

async function ask(model: ServedModel, request: SearchRequest, { optionsFor }: SearchCall): Promise<Found[]> {
  const release = model.use();
  try {
    return await model.searcher.search(request, optionsFor(model));
  } finally {
    release();
  }
}
