import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { LATENCY_BUCKETS_SECONDS } from '../observability/metrics.js';

/** Prometheus metrics of rollouts. */
export class RolloutMetrics {
  readonly reads: Counter<'outcome'>;
  readonly writes: Counter<'outcome'>;
  readonly comparisons: Counter<'outcome'>;
  readonly overlap: Histogram;
  readonly searchSeconds: Histogram<'side'>;

  /** @param read called on every scrape */
  constructor(registry: Registry, read: () => { trafficPercent: number; outOfSync: number }) {
    const registers = [registry];
    this.reads = new Counter({
      name: 'onespace_rollout_reads_total',
      help: 'Searches during a rollout by the model that answered: default, candidate, fallback (the candidate failed).',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.writes = new Counter({
      name: 'onespace_rollout_writes_total',
      help: 'Writes during a rollout by outcome in the second index: mirrored (applied), superseded, missed (out of sync).',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.comparisons = new Counter({
      name: 'onespace_rollout_comparisons_total',
      help: 'Shadow comparisons by outcome: compared, skipped (too many at once), failed.',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.overlap = new Histogram({
      name: 'onespace_rollout_overlap_at_10',
      help: 'Fraction of the first 10 results of the default model that the candidate also returns.',
      buckets: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
      registers,
    });
    this.searchSeconds = new Histogram({
      name: 'onespace_rollout_search_seconds',
      help: 'Duration of compared searches, embedding included, by side: default, candidate.',
      labelNames: ['side'] as const,
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    });
    for (const outcome of ['default', 'candidate', 'fallback']) this.reads.inc({ outcome }, 0);
    for (const outcome of ['mirrored', 'superseded', 'missed']) this.writes.inc({ outcome }, 0);
    for (const outcome of ['compared', 'skipped', 'failed']) this.comparisons.inc({ outcome }, 0);
    for (const side of ['default', 'candidate']) this.searchSeconds.zero({ side });
    const watch = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    watch(
      'onespace_rollout_share_percent',
      'Percent of searches that the candidate answers.',
      () => read().trafficPercent,
    );
    watch(
      'onespace_rollout_missed_items',
      'Items in which the second index is known to be out of sync.',
      () => read().outOfSync,
    );
  }
}
