import { Problem } from '../common/errors.js';
import { eachPage } from './pages.js';
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

/** Items read at the same time: what an export holds in memory, whatever the size of the store. */
const CONCURRENT_READS = 64;
const BATCH_ITEMS = 100;

/**
 * Everything in a store as JSON Lines, in order of id, as a stream. Items added or deleted in the meantime may be
 * included or not.
 * @param after continues after the item of this id
 */
export async function* exportLines(store: VectorStore, after?: string): AsyncGenerator<string> {
  for await (const page of eachPage(store, { limit: CONCURRENT_READS, ...(after === undefined ? {} : { after }) })) {
    const items = await Promise.all(page.map(({ id }) => store.get(id)));
    for (const item of items) if (item !== undefined) yield encodeItem(item);
  }
}

/**
 * Upserts items from JSON Lines. Safe to repeat after a failure, because items replace those of the same id.
 *
 * @param onProgress receives how many items are stored so far
 * @throws Problem `invalid_request` that names the line, when one is not an item
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

/** Upserts items in batches while they are read. @param onProgress receives how many are stored so far @returns how many there were */
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
