import { Problem } from '../common/errors.js';
import { LIMITS } from './limits.js';
import type { Item, Metadata, VectorStore } from './vector-store.js';

/** An item as a line of JSON: `{"id","modality","metadata","vector":[...]}`. Exact: a float32 survives as a decimal. */
const encodeItem = ({ vector, ...item }: Item): string =>
  `${JSON.stringify({ ...item, vector: Array.from(vector) })}\n`;

function decodeItem(line: string, lineNumber: number): Item {
  try {
    const { id, modality, metadata, vector, original } = JSON.parse(line) as Omit<Item, 'vector'> & {
      vector: number[];
    };
    const item = { id, modality, metadata: metadata as Metadata, vector: Float32Array.from(vector) };
    return original === undefined ? item : { ...item, original };
  } catch (error) {
    throw new Problem(
      'invalid_request',
      `Line ${lineNumber} is not an item as JSON.`,
      { line: lineNumber },
      { cause: error },
    );
  }
}

/** Items read at the same time. */
const TOGETHER = 64;
const BATCH_ITEMS = 100;

/**
 * Everything in a store as JSON Lines, in order of id. It streams; items that come or go
 * meanwhile may be in it or not.
 */
export async function* exportLines(store: VectorStore): AsyncGenerator<string> {
  let cursor: string | undefined;
  do {
    const page = await store.list({ limit: LIMITS.pageItems, ...(cursor === undefined ? {} : { cursor }) });
    for (let from = 0; from < page.items.length; from += TOGETHER) {
      const items = await Promise.all(page.items.slice(from, from + TOGETHER).map(({ id }) => store.get(id)));
      for (const item of items) if (item !== undefined) yield encodeItem(item);
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
}

/**
 * Upserts items from JSON Lines. It can be repeated after a failure: an id replaces itself.
 *
 * @param onProgress told how many items are safe so far
 * @throws Problem that names the line, when one is not an item
 * @returns how many items were read
 */
export async function importLines(
  store: VectorStore,
  lines: AsyncIterable<string>,
  onProgress: (items: number) => void = () => {},
): Promise<number> {
  return importItems(store, itemsOf(lines), onProgress);
}

async function* itemsOf(lines: AsyncIterable<string>): AsyncGenerator<Item> {
  let lineNumber = 0;
  for await (const line of lines) {
    lineNumber += 1;
    if (line.trim() !== '') yield decodeItem(line, lineNumber);
  }
}

/** Upserts items in batches, as they come. @returns how many there were */
export async function importItems(
  store: VectorStore,
  items: AsyncIterable<Item>,
  onProgress: (items: number) => void = () => {},
): Promise<number> {
  let batch: Item[] = [];
  let stored = 0;
  const flush = async () => {
    await store.upsert(batch);
    stored += batch.length;
    batch = [];
    onProgress(stored);
  };
  for await (const item of items) {
    batch.push(item);
    if (batch.length === BATCH_ITEMS) await flush();
  }
  if (batch.length > 0) await flush();
  return stored;
}
