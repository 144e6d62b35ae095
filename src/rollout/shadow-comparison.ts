import type { Logger } from '../lib/logger.js';
import { disposeTerms } from '../search/query-terms.js';
import type { Found, SearchRequest } from '../search/search.js';
import { shareTerms } from '../search/share-terms.js';
import type { ServedModel } from '../serving/served-model.js';
import type { RolloutMetrics } from './metrics.js';

/** Comparisons under way at once: they must not take the machine from those who wait for an answer. */
const MAX_AT_ONCE = 2;
/** The latest comparisons, for the status. */
const KEPT = 1000;
/** Results that are compared. */
const DEPTH = 10;

interface Comparison {
  overlap: number;
  defaultMs: number;
  candidateMs: number;
}

export interface ComparisonSummary {
  count: number;
  /** Mean over the searches. */
  overlap_at_10: number | null;
  default_ms: { p50: number; p95: number } | null;
  candidate_ms: { p50: number; p95: number } | null;
}

/** A search that was answered, to be repeated by the candidate. */
export interface Answered {
  /** With terms of its own, which are taken over. */
  request: SearchRequest;
  found: readonly Found[];
  tookMs: number;
}

/** What searches give with one model and with another. */
export class Comparisons {
  private readonly latest: Comparison[] = [];
  private count = 0;
  private underWay = 0;

  constructor(
    private readonly metrics: RolloutMetrics,
    private readonly logger: Logger,
  ) {}

  /** Whether there is room for another; one that has none is counted. */
  hasRoom(): boolean {
    if (this.underWay < MAX_AT_ONCE) return true;
    this.metrics.comparisons.inc({ outcome: 'skipped' });
    return false;
  }

  /** Gives the candidate a search that the default model answered. Never rejects. */
  async compare(first: ServedModel, candidate: ServedModel, answered: Answered): Promise<void> {
    const release = [first.use(), candidate.use()];
    this.underWay++;
    try {
      await this.measure(first, candidate, answered);
      this.metrics.comparisons.inc({ outcome: 'compared' });
    } catch (error) {
      this.metrics.comparisons.inc({ outcome: 'failed' });
      this.logger.warn({ err: error, model: candidate.id }, 'rollout: the candidate failed a search');
    } finally {
      this.underWay--;
      for (const letGo of release) letGo();
    }
  }

  summary(): ComparisonSummary {
    const { latest, count } = this;
    if (latest.length === 0) return { count, overlap_at_10: null, default_ms: null, candidate_ms: null };
    const overlap = latest.reduce((sum, one) => sum + one.overlap, 0) / latest.length;
    return {
      count,
      overlap_at_10: round(overlap, 4),
      default_ms: percentiles(latest.map(({ defaultMs }) => defaultMs)),
      candidate_ms: percentiles(latest.map(({ candidateMs }) => candidateMs)),
    };
  }

  private async measure(first: ServedModel, candidate: ServedModel, answered: Answered): Promise<void> {
    const { request, found, tookMs } = answered;
    const [mine, theirs] = shareTerms(request.terms);
    const firstTen = { ...request, count: DEPTH, offset: 0, minScore: undefined, withVectors: false };
    const record = candidate.metrics.record;
    const start = performance.now();
    const candidates = await candidate.searcher.search({ ...firstTen, terms: theirs }, { record }).catch(onFailure);
    const candidateMs = performance.now() - start;
    const isWhole = request.offset === 0 && request.minScore === undefined && request.count >= DEPTH;
    const expected = isWhole
      ? found.slice(0, DEPTH)
      : await first.searcher.search({ ...firstTen, terms: mine }, { record: () => {} });
    await disposeTerms(mine);
    this.metrics.searchSeconds.observe({ side: 'default' }, tookMs / 1000);
    this.metrics.searchSeconds.observe({ side: 'candidate' }, candidateMs / 1000);
    // Where nothing can be found there is nothing to agree on.
    if (expected.length > 0) this.keep({ overlap: overlapOf(expected, candidates), defaultMs: tookMs, candidateMs });

    async function onFailure(error: unknown): Promise<never> {
      await disposeTerms(mine);
      throw error;
    }
  }

  private keep(comparison: Comparison): void {
    this.metrics.overlap.observe(comparison.overlap);
    this.count++;
    this.latest.push(comparison);
    if (this.latest.length > KEPT) this.latest.shift();
  }
}

/** Share of what was expected that is there. */
function overlapOf(expected: readonly Found[], found: readonly Found[]): number {
  const ids = new Set(found.map(({ id }) => id));
  return expected.filter(({ id }) => ids.has(id)).length / expected.length;
}

function percentiles(values: readonly number[]): { p50: number; p95: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number, 2);
  return { p50: at(0.5), p95: at(0.95) };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
