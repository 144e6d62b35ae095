import type { CallContext } from '../embedding/call-context.js';
import type { Logger } from '../lib/log/logger.js';
import type { SearchRequest, SearchResult } from '../search/search.js';
import type { ModelRegistry } from '../serving/model-registry.js';
import type { ServedModel } from '../serving/served-model.js';
import type { RolloutMetrics } from './metrics.js';

/** Comparisons under way at once: they must not slow the requests that wait for a reply. */
const MAX_CONCURRENT = 2;
/** The latest comparisons, of which the status reports statistics. */
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

/** A search that the default model has answered. */
export interface AnsweredSearch {
  request: SearchRequest;
  results: readonly SearchResult[];
  tookMs: number;
}

/** Repeats searches with the candidate, after their reply, and compares its results with those of the default model. */
export class ShadowComparison {
  private readonly latest: Comparison[] = [];
  private count = 0;
  private running = 0;

  constructor(
    private readonly models: ModelRegistry,
    private readonly metrics: RolloutMetrics,
    private readonly logger: Logger,
  ) {}

  /** Whether another comparison may start; a refused one is counted as skipped. */
  hasCapacity(): boolean {
    if (this.running < MAX_CONCURRENT) return true;
    this.metrics.comparisons.inc({ outcome: 'skipped' });
    return false;
  }

  /** Compares once the reply has been sent; the files of the search stay readable until it is done. Never rejects. */
  async compareAfterReply(
    first: ServedModel,
    candidate: ServedModel,
    answered: AnsweredSearch,
    { uploads, replied }: CallContext,
  ): Promise<void> {
    const releases = [this.models.lease(first), this.models.lease(candidate)];
    this.running++;
    try {
      releases.push(uploads.hold());
      await replied;
      await this.compare(first, candidate, answered, { uploads, record: candidate.metrics.record });
      this.metrics.comparisons.inc({ outcome: 'compared' });
    } catch (error) {
      this.metrics.comparisons.inc({ outcome: 'failed' });
      this.logger.warn({ err: error, model: candidate.id }, 'rollout: the candidate failed a search');
    } finally {
      this.running--;
      for (const release of releases) release();
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

  private async compare(
    first: ServedModel,
    candidate: ServedModel,
    { request, results, tookMs }: AnsweredSearch,
    context: CallContext,
  ): Promise<void> {
    const topTen = { ...request, topK: DEPTH, offset: 0, minScore: undefined, withVectors: false };
    const start = performance.now();
    const candidates = await candidate.search.search(topTen, context);
    const candidateMs = performance.now() - start;
    const hasTopTen = request.offset === 0 && request.minScore === undefined && request.topK >= DEPTH;
    const expected = hasTopTen
      ? results.slice(0, DEPTH)
      : await first.search.search(topTen, { ...context, record: () => {} });
    this.metrics.searchSeconds.observe({ side: 'default' }, tookMs / 1000);
    this.metrics.searchSeconds.observe({ side: 'candidate' }, candidateMs / 1000);
    // Without results there is nothing to agree on.
    if (expected.length > 0) this.keep({ overlap: overlapOf(expected, candidates), defaultMs: tookMs, candidateMs });
  }

  private keep(comparison: Comparison): void {
    this.metrics.overlap.observe(comparison.overlap);
    this.count++;
    this.latest.push(comparison);
    if (this.latest.length > KEPT) this.latest.shift();
  }
}

/** Fraction of the expected results that were found. */
function overlapOf(expected: readonly SearchResult[], found: readonly SearchResult[]): number {
  const ids = new Set(found.map(({ id }) => id));
  return expected.filter(({ id }) => ids.has(id)).length / expected.length;
}

function percentiles(values: readonly number[]): { p50: number; p95: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (fraction: number) =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))] as number, 2);
  return { p50: at(0.5), p95: at(0.95) };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
