import type { Predicate } from './filter.js';
import { floats } from './flat-index.js';
import type { Shard } from './shard.js';
import type { Metadata } from './store.js';
import { byScoreThenId, type Candidate, Top } from './top.js';

/** One question to one shard. */
export interface Query {
  vector: Float32Array;
  k: number;
  /** Whether the metadata is wanted; absent when everything is. */
  matches?: Predicate | undefined;
}

/** Neighbours asked for beyond `k`, so that dead rows and ties seldom need a second call. */
const MARGIN = 16;
/** Where a filter or dead rows need more neighbours than this, a plain scan is cheaper. */
const FETCH_MAX = 4096;
/** Rows read in one go by the plain scan. */
const SCAN_ROWS = 1024;

/**
 * The exact `k` best live rows for each query, in at most two FAISS calls for all of them.
 *
 * FAISS proposes; every proposal is scored again from the stored vector, so that a score does
 * not depend on who else was in the batch. An answer stands when it has `k` hits and nothing
 * FAISS left out can beat or tie the last of them, or when FAISS left out nothing. What still
 * does not stand after two calls (a filter that selects few, very many ties) is scanned.
 */
export function searchShard(shard: Shard, queries: readonly Query[]): Candidate[][] {
  const answers = new Array<Candidate[]>(queries.length).fill([]);
  if (shard.live === 0) return answers;
  shard.catchUp();
  let open = queries.map((query, at) => ({ query, at, fetch: firstFetch(shard, query) }));
  for (let call = 0; call < 2 && open.length > 0; call++) {
    const near = open.filter(({ fetch }) => fetch <= FETCH_MAX);
    const far = open.filter(({ fetch }) => fetch > FETCH_MAX);
    open = [...far, ...propose(shard, near, answers)];
  }
  for (const { query, at } of open) answers[at] = scan(shard, query);
  return answers;
}

interface Open {
  query: Query;
  /** Position among the queries of the batch. */
  at: number;
  fetch: number;
}

const firstFetch = (shard: Shard, { k, matches }: Query): number =>
  Math.min(shard.index.rows, (k + MARGIN) * (matches === undefined ? 1 : 4));

/** One FAISS call. @returns the queries whose answer does not stand yet, with the fetch that should do */
function propose(shard: Shard, open: readonly Open[], answers: Candidate[][]): Open[] {
  if (open.length === 0) return [];
  const fetch = Math.max(...open.map((one) => one.fetch));
  const proposals = shard.index.search(
    open.map(({ query }) => query.vector),
    fetch,
  );
  return open.flatMap(({ query, at }, i) => {
    const { rows, scores } = proposals[i] as { rows: number[]; scores: number[] };
    const hits = score(shard, query, rows);
    const worst = hits[query.k - 1];
    const leftOutAtMost = (scores.at(-1) ?? 1) + roundingError(shard.index.dim);
    if (fetch === shard.index.rows || (worst !== undefined && worst.score > leftOutAtMost)) {
      answers[at] = hits.slice(0, query.k);
      return [];
    }
    return [{ query, at, fetch: nextFetch(shard, query, fetch, hits.length) }];
  });
}

/** As many as the share of usable proposals suggests, doubled; at least four times as many. */
const nextFetch = (shard: Shard, { k }: Query, fetch: number, usable: number): number =>
  Math.min(shard.index.rows, Math.max(4 * fetch, usable === 0 ? Infinity : Math.ceil((2 * fetch * k) / usable)));

/** The live and wanted ones of some rows, best first. */
function score(shard: Shard, { vector, matches }: Query, rows: readonly number[]): Candidate[] {
  const hits: Candidate[] = [];
  for (const row of rows) {
    const id = shard.ids[row];
    if (id === undefined || !wanted(shard, row, matches)) continue;
    hits.push({ id, row, score: innerProduct(vector, floats(shard.vector(row)), 0) });
  }
  return hits.sort(byScoreThenId);
}

/** Every live row in order of storage: exact whatever the filter, at a tenth of the speed of FAISS. */
function scan(shard: Shard, { vector, k, matches }: Query): Candidate[] {
  const top = new Top(k);
  const dim = shard.index.dim;
  forEachRun(shard, (from, count) => {
    const rows: number[] = [];
    for (let row = from; row < from + count; row++)
      if (shard.ids[row] !== undefined && wanted(shard, row, matches)) rows.push(row);
    if (rows.length === 0) return;
    const block = rows.length * 8 > count ? floats(shard.rows.vectors(from, count)) : undefined;
    for (const row of rows) {
      const stored = block ?? floats(shard.vector(row));
      const offset = block === undefined ? 0 : (row - from) * dim;
      top.offer({ id: shard.ids[row] as string, row, score: innerProduct(vector, stored, offset) });
    }
  });
  return top.best();
}

/** Runs of rows that lie together: none spans the border between the snapshot and what came after. */
function forEachRun(shard: Shard, visit: (from: number, count: number) => void): void {
  const { count, baseCount } = shard.rows;
  for (let from = 0; from < count; ) {
    const until = Math.min(from + SCAN_ROWS, from < baseCount ? baseCount : count);
    visit(from, until - from);
    from = until;
  }
}

const wanted = (shard: Shard, row: number, matches: Predicate | undefined): boolean =>
  matches === undefined || matches(JSON.parse(shard.metadata(row).toString()) as Metadata);

/** Summed in double precision, rounded once: the same bits on every path. */
export function innerProduct(query: Float32Array, stored: Float32Array, offset: number): number {
  let sum = 0;
  for (let i = 0; i < query.length; i++) sum += (query[i] as number) * (stored[offset + i] as number);
  return Math.fround(sum);
}

/**
 * How far a float32 inner product of unit vectors can lie from the true one, in any order of
 * summation: gamma_n, times 2 for norms that are only nearly 1.
 * Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
 */
const roundingError = (dim: number): number => 2 * dim * 2 ** -24;
