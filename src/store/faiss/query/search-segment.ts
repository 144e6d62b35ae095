import { innerProduct } from '../../../common/vector.js';
import { floats } from '../ann/flat-index.js';
import type { Proposal } from '../ann/vector-index.js';
import type { Segment } from '../segment/segment.js';
import { type CompiledFilter, selects } from './compiled-filter.js';
import type { FilterBitmap } from './filter-bitmap.js';
import { byScoreThenId, type Candidate, TopK } from './top-k.js';

/** One query to one segment. */
export interface SegmentQuery {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  k: number;
  /** Which items may be found; absent when all may. */
  filter?: CompiledFilter | undefined;
  /** The filter's bitmap, where it has been prepared. */
  bitmap?: FilterBitmap | undefined;
}

/** Best first; undefined when only a scan can answer and the query's filter has no bitmap yet. */
export type Answer = Candidate[] | undefined;

/** Queries that need more proposals than this are a FAISS call of their own: they do not slow the others. */
const LIGHT_FETCH = 256;
/** Where a filter, ties or tombstones need more proposals than this, a scan is cheaper. */
const FETCH_MAX = 4096;
/** FAISS passes a row in about a thirtieth of the time that a scan takes to read one. */
const SCAN_RATIO = 1 / 30;
/** Rows that a scan reads at a time. */
const SCAN_ROWS = 1024;

/** A query without a final answer. */
interface OpenQuery {
  query: SegmentQuery;
  /** Position among the queries of the batch. */
  at: number;
  /** Neighbours to request from FAISS; more than `FETCH_MAX` means a scan. */
  fetch: number;
  bitmap: FilterBitmap | undefined;
}

/**
 * The `k` best items for each query; exactly those, unless the index is an approximate one.
 *
 * FAISS proposes; every proposal is scored again from the stored vector, so that a score does not depend on the
 * other queries of the batch. An answer is final when it has `k` hits and nothing FAISS left out can beat or tie
 * the last of them, or when FAISS left out nothing. What is not final after two rounds (a filter that selects
 * few, very many ties) is scanned.
 */
export function searchSegment(segment: Segment, queries: readonly SegmentQuery[]): Answer[] {
  const answers = new Array<Answer>(queries.length).fill(undefined);
  if (segment.live === 0) return answers.fill([]);
  segment.indexPendingRows();
  let open = queries.map((query, at) => plan(segment, query, at));
  for (let round = 0; round < 2; round++) {
    const light = open.filter(({ fetch }) => fetch <= LIGHT_FETCH);
    const heavy = open.filter(({ fetch }) => fetch > LIGHT_FETCH && fetch <= FETCH_MAX);
    const scanned = open.filter(({ fetch }) => fetch > FETCH_MAX);
    open = [...scanned, ...propose(segment, light, answers), ...propose(segment, heavy, answers)];
  }
  for (const { query, at, bitmap } of open)
    if (query.filter === undefined || bitmap !== undefined) answers[at] = scan(segment, query, bitmap);
  return answers;
}

/** Decides between FAISS and a scan, which needs the filter's bitmap. */
function plan(segment: Segment, query: SegmentQuery, at: number): OpenQuery {
  const { k, filter, bitmap: prepared } = query;
  const all = segment.index.rows;
  const fetch = segment.index.oversample(k);
  if (filter === undefined) return { query, at, fetch: Math.min(all, fetch), bitmap: undefined };
  const bitmap = prepared
    ? segment.filterBitmaps.refresh(segment, prepared)
    : segment.filterBitmaps.known(segment, filter);
  if (bitmap === undefined) {
    // The payload index makes a bitmap sooner than FAISS answers; lines are read only when proposals do not suffice.
    const isIndexed = segment.payloadIndex.rowTest(filter.filter) !== undefined;
    return { query, at, fetch: isIndexed ? Infinity : Math.min(all, 4 * fetch), bitmap };
  }
  const selectsFew = bitmap.count <= Math.max(fetch, all * SCAN_RATIO);
  return { query, at, fetch: selectsFew ? Infinity : Math.ceil((1.5 * fetch * all) / bitmap.count), bitmap };
}

/** One FAISS call for all. @returns the queries whose answer is not final yet, with the fetch that should suffice */
function propose(segment: Segment, open: readonly OpenQuery[], answers: Answer[]): OpenQuery[] {
  if (open.length === 0) return [];
  const fetch = Math.min(segment.index.rows, Math.max(...open.map((one) => one.fetch)));
  const proposals = segment.index.search(
    open.map(({ query }) => query.vector),
    fetch,
  );
  return open.flatMap((one, i) => {
    const { rows, maxOmittedScore } = proposals[i] as Proposal;
    const { k } = one.query;
    const hits = score(segment, one, rows);
    if (isFinal(hits, k, maxOmittedScore)) {
      answers[one.at] = hits.slice(0, k);
      return [];
    }
    const needsBitmap = one.query.filter !== undefined && one.bitmap === undefined;
    return [{ ...one, fetch: needsBitmap ? Infinity : nextFetch(fetch, k, hits.length) }];
  });
}

/** Whether nothing that FAISS left out can be better, as far as the index can tell. */
function isFinal(hits: readonly Candidate[], k: number, maxOmittedScore: number | undefined): boolean {
  if (maxOmittedScore === -Infinity) return true;
  const worst = hits[k - 1];
  return worst !== undefined && (maxOmittedScore === undefined || worst.score > maxOmittedScore);
}

/** As many as the ratio of usable proposals suggests, doubled; at least four times as many. */
const nextFetch = (fetch: number, k: number, usable: number): number =>
  Math.max(4 * fetch, usable === 0 ? Infinity : Math.ceil((2 * fetch * k) / usable));

/** Scores the rows that are items and match, best first. */
function score(segment: Segment, { query, bitmap }: OpenQuery, rows: readonly number[]): Candidate[] {
  const hits: Candidate[] = [];
  for (const row of rows) {
    const id = segment.ids[row];
    if (id === undefined || !isSelected(segment, row, query.filter, bitmap)) continue;
    hits.push({ id, row, score: innerProduct(query.vector, segment.rows.peek(row), 0) });
  }
  return hits.sort(byScoreThenId);
}

function isSelected(
  segment: Segment,
  row: number,
  filter: CompiledFilter | undefined,
  bitmap: FilterBitmap | undefined,
): boolean {
  if (filter === undefined) return true;
  if (bitmap !== undefined) return bitmap.has(row);
  return selects(filter, segment.metadata(row));
}

/** Scores every selected row in order of storage: exact whatever the filter. */
function scan(segment: Segment, { vector, k }: SegmentQuery, bitmap: FilterBitmap | undefined): Candidate[] {
  const top = new TopK(k);
  for (const { from, until } of runs(segment)) {
    const rows: number[] = [];
    for (let row = from; row < until; row++)
      if (segment.ids[row] !== undefined && (bitmap?.has(row) ?? true)) rows.push(row);
    // Where many rows are selected, one long read costs less than many short ones.
    const block = rows.length * 8 > until - from ? floats(segment.rows.vectors(from, until - from)) : undefined;
    for (const row of rows) {
      const stored = block ?? segment.rows.peek(row);
      const offset = block === undefined ? 0 : (row - from) * segment.index.dim;
      top.offer({ id: segment.ids[row] as string, row, score: innerProduct(vector, stored, offset) });
    }
  }
  return top.best();
}

/** Consecutive rows: no run spans the border between the snapshot and the rows after it. */
function* runs({ rows: { count, snapshotCount } }: Segment): Generator<{ from: number; until: number }> {
  for (let from = 0; from < count; ) {
    const until = Math.min(from + SCAN_ROWS, from < snapshotCount ? snapshotCount : count);
    yield { from, until };
    from = until;
  }
}
