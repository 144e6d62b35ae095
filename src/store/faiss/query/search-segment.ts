import { innerProduct } from '../../../common/vector.js';
import { floats } from '../ann/flat-index.js';
import type { Proposal } from '../ann/vector-index.js';
import type { Shard } from '../segment/segment.js';
import { type Selection, selects } from './compiled-filter.js';
import type { Matches } from './filter-bitmap.js';
import { byScoreThenId, type Candidate, Top } from './top-k.js';

/** One question to one shard. */
export interface Query {
  vector: Float32Array;
  k: number;
  /** Which items are wanted; absent when all are. */
  selection?: Selection | undefined;
  /** Which rows `selection` selects, where that has been worked out. */
  prepared?: Matches | undefined;
}

/** Best first; or nothing, when only a plain scan can tell and the query is not prepared for it. */
export type Answer = Candidate[] | undefined;

/** Queries that need more neighbours than this do not slow those that need less. */
const LIGHT_FETCH = 256;
/** Where a filter, ties or dead rows need more than this, a plain scan is cheaper. */
const FETCH_MAX = 4096;
/** FAISS passes a row in about a thirtieth of the time that a plain scan takes to read one. */
const SCAN_SHARE = 1 / 30;
/** Rows read in one go by the plain scan. */
const SCAN_ROWS = 1024;

/** A query on its way to an answer. */
interface Open {
  query: Query;
  /** Position among the queries of the batch. */
  at: number;
  /** Neighbours to ask FAISS for; more than `FETCH_MAX` means a plain scan. */
  fetch: number;
  matches: Matches | undefined;
}

/**
 * The `k` best live rows for each query; exactly those, unless the index is an approximate one.
 *
 * FAISS proposes; every proposal is scored again from the stored vector, so that a score does
 * not depend on who else was in the batch. An answer stands when it has `k` hits and nothing
 * FAISS left out can beat or tie the last of them, or when FAISS left out nothing. What does
 * not stand after two rounds (a filter that selects few, very many ties) is scanned.
 */
export function searchShard(shard: Shard, queries: readonly Query[]): Answer[] {
  const answers = new Array<Answer>(queries.length).fill(undefined);
  if (shard.live === 0) return answers.fill([]);
  shard.catchUp();
  let open = queries.map((query, at) => start(shard, query, at));
  for (let round = 0; round < 2; round++) {
    const light = open.filter(({ fetch }) => fetch <= LIGHT_FETCH);
    const heavy = open.filter(({ fetch }) => fetch > LIGHT_FETCH && fetch <= FETCH_MAX);
    const far = open.filter(({ fetch }) => fetch > FETCH_MAX);
    open = [...far, ...propose(shard, light, answers), ...propose(shard, heavy, answers)];
  }
  for (const { query, at, matches } of open)
    if (query.selection === undefined || matches !== undefined) answers[at] = scan(shard, query, matches);
  return answers;
}

/** Whether a plain scan is next, for which the rows that match must be known. */
function start(shard: Shard, query: Query, at: number): Open {
  const { k, selection, prepared } = query;
  const all = shard.index.rows;
  const wanted = shard.index.fetchFor(k);
  if (selection === undefined) return { query, at, fetch: Math.min(all, wanted), matches: undefined };
  const matches = prepared ? shard.matches.refresh(shard, prepared) : shard.matches.known(shard, selection);
  // Columns know sooner than FAISS; lines are read only when its proposals do not suffice.
  if (matches === undefined)
    return { query, at, fetch: shard.columns.asking(selection.filter) ? Infinity : Math.min(all, 4 * wanted), matches };
  const isFew = matches.count <= Math.max(wanted, all * SCAN_SHARE);
  return { query, at, fetch: isFew ? Infinity : Math.ceil((1.5 * wanted * all) / matches.count), matches };
}

/** One FAISS call for all. @returns the queries whose answer does not stand yet, with the fetch that should do */
function propose(shard: Shard, open: readonly Open[], answers: Answer[]): Open[] {
  if (open.length === 0) return [];
  const fetch = Math.min(shard.index.rows, Math.max(...open.map((one) => one.fetch)));
  const proposals = shard.index.search(
    open.map(({ query }) => query.vector),
    fetch,
  );
  return open.flatMap((one, i) => {
    const { rows, leftOutAtMost } = proposals[i] as Proposal;
    const { k } = one.query;
    const hits = score(shard, one, rows);
    if (stands(hits, k, leftOutAtMost)) {
      answers[one.at] = hits.slice(0, k);
      return [];
    }
    const isBlind = one.query.selection !== undefined && one.matches === undefined;
    return [{ ...one, fetch: isBlind ? Infinity : nextFetch(fetch, k, hits.length) }];
  });
}

/** Whether nothing that was left out can be better, as far as the index can tell. */
function stands(hits: readonly Candidate[], k: number, leftOutAtMost: number | undefined): boolean {
  if (leftOutAtMost === -Infinity) return true;
  const worst = hits[k - 1];
  return worst !== undefined && (leftOutAtMost === undefined || worst.score > leftOutAtMost);
}

/** As many as the share of usable proposals suggests, doubled; at least four times as many. */
const nextFetch = (fetch: number, k: number, usable: number): number =>
  Math.max(4 * fetch, usable === 0 ? Infinity : Math.ceil((2 * fetch * k) / usable));

/** The live and wanted ones of some rows, best first. */
function score(shard: Shard, { query, matches }: Open, rows: readonly number[]): Candidate[] {
  const hits: Candidate[] = [];
  for (const row of rows) {
    const id = shard.ids[row];
    if (id === undefined || !isWanted(shard, row, query.selection, matches)) continue;
    hits.push({ id, row, score: innerProduct(query.vector, shard.rows.peek(row), 0) });
  }
  return hits.sort(byScoreThenId);
}

function isWanted(shard: Shard, row: number, selection: Selection | undefined, matches: Matches | undefined): boolean {
  if (selection === undefined) return true;
  if (matches !== undefined) return matches.has(row);
  return selects(selection, shard.metadata(row));
}

/** Every wanted row in order of storage: exact whatever the filter. */
function scan(shard: Shard, { vector, k }: Query, matches: Matches | undefined): Candidate[] {
  const top = new Top(k);
  for (const { from, until } of runs(shard)) {
    const rows: number[] = [];
    for (let row = from; row < until; row++)
      if (shard.ids[row] !== undefined && (matches?.has(row) ?? true)) rows.push(row);
    // Where many are wanted, one long read costs less than many short ones.
    const block = rows.length * 8 > until - from ? floats(shard.rows.vectors(from, until - from)) : undefined;
    for (const row of rows) {
      const stored = block ?? shard.rows.peek(row);
      const offset = block === undefined ? 0 : (row - from) * shard.index.dim;
      top.offer({ id: shard.ids[row] as string, row, score: innerProduct(vector, stored, offset) });
    }
  }
  return top.best();
}

/** Rows that lie together: no run spans the border between the snapshot and what came after. */
function* runs({ rows: { count, baseCount } }: Shard): Generator<{ from: number; until: number }> {
  for (let from = 0; from < count; ) {
    const until = Math.min(from + SCAN_ROWS, from < baseCount ? baseCount : count);
    yield { from, until };
    from = until;
  }
}
