import type { JobCounts, JobItem } from './job.js';
import type { StorableItem } from './storable-item.js';
import { type JobHooks, type JobParts, patiently, storeInGroups } from './store-items.js';

/** Items that are read from the disk at a time. */
const PAGE = 256;

/**
 * Stores items that were sent to be stored later.
 * @param items those that `counts` does not count yet
 * @throws the reason of the signal when it aborts
 */
export async function runItems(
  items: AsyncIterable<JobItem>,
  counts: JobCounts,
  parts: JobParts,
  hooks: JobHooks,
): Promise<void> {
  let page: StorableItem[] = [];
  for await (const item of items) {
    if (!('problem' in item)) page.push(item);
    // What is counted must be the first of them: what waits comes before it.
    else {
      await storeInGroups(page, counts, parts, hooks);
      page = [];
      await patiently(() => hooks.onRefused([{ file: item.id, reason: item.problem }]), hooks, counts);
      counts.refused += 1;
    }
    if (page.length < PAGE) continue;
    await storeInGroups(page, counts, parts, hooks);
    page = [];
  }
  await storeInGroups(page, counts, parts, hooks);
}
