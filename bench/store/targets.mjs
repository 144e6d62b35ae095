const MEETS = {
  '<': (measured, bound) => measured < bound,
  '<=': (measured, bound) => measured <= bound,
  '>=': (measured, bound) => measured >= bound,
};

/**
 * The targets of the index and the measured values. A ratio is left out where one of its sides did not run.
 * @param sides the measurements of each side, by name
 */
export function targets({ http, hnsw, bare, chroma }) {
  const all = [
    ['p50 alone, HTTP / bare call', '<=', 1.5, http?.one.p50Ms / bare?.one.p50Ms],
    ['queries/s together, HTTP / bare call alone', '>=', 3, http?.many.perSecond / bare?.one.perSecond],
    ['queries/s alone, hnsw / Chroma', '>=', 5, hnsw?.one.perSecond / chroma?.one.perSecond],
    ['queries/s together, hnsw / Chroma', '>=', 5, hnsw?.many.perSecond / chroma?.many.perSecond],
    ['event loop delay p99 while searching, ms', '<', 20, http?.loopDelayP99Ms],
    ['the same with hnsw, ms', '<', 20, hnsw?.loopDelayP99Ms],
    ['durable inserts/s', '>=', 2000, http?.insertsPerSecond],
    ['start-up, s', '<', 15, http?.startSeconds],
  ];
  return all
    .filter(([, , , measured]) => Number.isFinite(measured))
    .map(([target, relation, bound, measured]) => ({
      target,
      required: `${relation} ${bound}`,
      measured,
      met: MEETS[relation](measured, bound) ? 'yes' : 'no',
    }));
}
