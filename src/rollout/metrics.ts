import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const LATENCY_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What rollouts tell Prometheus. */
export class RolloutMetrics {
  readonly reads: Counter<'outcome'>;
  readonly writes: Counter<'outcome'>;
  readonly comparisons: Counter<'outcome'>;
  readonly overlap: Histogram;
  readonly searchSeconds: Histogram<'side'>;

  /** @param now asked whenever Prometheus asks */
  constructor(registry: Registry, now: () => { share: number; missed: number }) {
    const registers = [registry];
    this.reads = new Counter({
      name: 'onespace_rollout_reads_total',
      help: 'Searches during a rollout by who answered: default, candidate, fallback (the candidate failed).',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.writes = new Counter({
      name: 'onespace_rollout_writes_total',
      help: 'Writes during a rollout by what became of them in the second index: mirrored, superseded, missed.',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.comparisons = new Counter({
      name: 'onespace_rollout_comparisons_total',
      help: 'Searches given to the candidate as well, by outcome: compared, skipped (too many at once), failed.',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.overlap = new Histogram({
      name: 'onespace_rollout_overlap_at_10',
      help: 'Share of the 10 first results of the default model that are among those of the candidate.',
      buckets: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
      registers,
    });
    this.searchSeconds = new Histogram({
      name: 'onespace_rollout_search_seconds',
      help: 'Time of a compared search, embedding included, by side: default, candidate.',
      labelNames: ['side'] as const,
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    });
    const watch = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    watch('onespace_rollout_share_percent', 'Share of searches that the candidate answers.', () => now().share);
    watch('onespace_rollout_missed_items', 'Items in which the second index is known to differ.', () => now().missed);
  }
}
