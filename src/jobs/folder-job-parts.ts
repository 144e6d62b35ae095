import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../common/errors.js';
import type { CallContext } from '../embedding/call-context.js';
import type { FileMark } from '../inputs/file-mark.js';
import type { JsonInputs } from '../inputs/json-input.js';
import type { MediaRoots } from '../inputs/media-roots.js';
import { UploadScope } from '../inputs/upload-scope.js';
import type { Thumbnails } from '../items/files/thumbnails.js';
import { ItemResolver } from '../items/new-item.js';
import { FACT_NAMES } from '../media/facts/facts.js';
import type { FactsReader } from '../media/facts/facts-reader.js';
import type { ModelRegistry } from '../serving/model-registry.js';
import { eachPage } from '../store/pages.js';
import type { Metadata } from '../store/vector-store.js';
import type { FolderJobParts, KnownFile } from './folder-job.js';
import type { StorableItem } from './storable-item.js';

export interface JobService {
  models: ModelRegistry;
  inputs: JsonInputs;
  facts: FactsReader | undefined;
  thumbnails: Thumbnails;
  roots: MediaRoots;
  /** Whether a second model is being tried. */
  isRollingOut(): boolean;
  /** Requests that are under way. */
  admission: { readonly underWay: number; readonly lastTakenMs: number };
}

/** Files that are read and embedded at the same time: a batch that is in the model, and the next that is being decoded. */
const FILES_AT_ONCE = 16;
/** A file waits this long at most for others to share a batch with: decoding them takes less. */
const PATIENCE_MS = 100;
/** For this long after a request there may be another, which would wait for all files that are in the model just then. */
const RECENT_MS = 2000;
const PAGE_ITEMS = 1000;
/** A job waits this long at most for requests that are under way, and looks this often. */
const LONGEST_WAIT_MS = 500;
const LOOK_MS = 5;

/** What a job needs of the service, for one model. */
export function folderJobParts(service: JobService, name: string | undefined): FolderJobParts {
  const { models, inputs, facts, thumbnails, roots, admission, isRollingOut } = service;
  const atOnce = () => (performance.now() - admission.lastTakenMs < RECENT_MS ? 1 : FILES_AT_ONCE);
  /** The model may be replaced while a job runs: it is asked for anew each time. */
  async function withModel<Result>(
    work: (model: ReturnType<ModelRegistry['get']>) => Promise<Result>,
  ): Promise<Result> {
    const model = models.get(name);
    const release = models.lease(model);
    try {
      return await work(model);
    } finally {
      release();
    }
  }
  /** Stores the vector of one item under the place of another file, when that has the same content. */
  async function moveItem(
    model: ReturnType<ModelRegistry['get']>,
    from: string,
    to: StorableItem,
    isAnew: boolean,
    signal: AbortSignal,
  ) {
    const uploads = new UploadScope(Number.POSITIVE_INFINITY);
    const context: CallContext = { uploads, signal, record: () => {} };
    try {
      const file = { ...to, path: 'body' };
      const ofFile = new ItemResolver(context, inputs, facts);
      const read = isAnew ? await ofFile.describe(file) : (await ofFile.resolve(file)).metadata;
      // Read last: whoever stores the item meanwhile is not to lose it.
      const item = await model.store.get(from);
      const hash = item?.metadata.content_hash;
      if (item === undefined || hash === undefined || hash !== read.content_hash) return false;
      const replaced = isAnew ? [...OF_OTHER_FILES, ...FACT_NAMES] : OF_OTHER_FILES;
      const kept = Object.entries(item.metadata).filter(([name]) => !replaced.includes(name));
      const metadata = { ...Object.fromEntries(kept), ...read };
      const json = { embedding: [...item.vector], modal_type: item.modality };
      const resolver = new ItemResolver(context);
      const put = { id: to.id, json, path: 'body', metadata };
      const [stored] = await models.router.put(model, [put], { resolver, concurrency: 1 }, context);
      if (stored === undefined || stored instanceof Problem) return false;
      if (from !== to.id) await models.router.delete(model, [from]);
      return true;
    } catch (error) {
      // It is read again as any other file, and its problem told there.
      if (error instanceof Problem && error.isOfInput) return false;
      throw error;
    } finally {
      uploads.close();
    }
  }
  return {
    roots,
    readsFacts: facts !== undefined,
    put: (items, signal) =>
      withModel(async (model) => {
        // Files are read where they lie: there is nothing to bound.
        const uploads = new UploadScope(Number.POSITIVE_INFINITY);
        const patienceMs = atOnce() > 1 ? PATIENCE_MS : undefined;
        const context: CallContext = { uploads, signal, patienceMs, record: () => {} };
        const resolver = new ItemResolver(context, inputs, facts);
        try {
          const stored = await models.router.put(
            model,
            items.map((item) => ({ ...item, path: 'body' })),
            { resolver, concurrency: FILES_AT_ONCE, thumbnails },
            context,
          );
          return stored.map((one) => (one instanceof Problem ? one : undefined));
        } finally {
          uploads.close();
        }
      }),
    move: (from, to, isAnew, signal) =>
      // The candidate of a rollout needs the file itself.
      isRollingOut() ? Promise.resolve(false) : withModel((model) => moveItem(model, from, to, isAnew, signal)),
    async *known(prefix) {
      // Ids are in order, so those with the prefix stand together.
      for await (const items of eachPage(models.get(name).store, { limit: PAGE_ITEMS, after: prefix }))
        for (const { id, metadata } of items) {
          if (!id.startsWith(prefix)) return;
          yield knownFile(id, metadata);
        }
    },
    remove: (ids) => withModel((model) => models.router.delete(model, ids)),
    atOnce,
    async idle(signal) {
      const deadline = performance.now() + LONGEST_WAIT_MS;
      while (admission.underWay > 0 && performance.now() < deadline) await sleep(LOOK_MS, undefined, { signal });
    },
  };
}

/** Fields that say which other files belong to an item. */
const OF_OTHER_FILES = ['live_clip', 'sidecars'];

/** An item without these fields was not made from a file where it lies: it counts as changed. */
function knownFile(id: string, { bytes, modified_at, live_clip: clip, sidecars }: Metadata): KnownFile {
  return {
    path: id,
    bytes: Number(bytes),
    modified_at: String(modified_at),
    clip: clip as FileMark | undefined,
    sidecars: Array.isArray(sidecars) ? (sidecars as FileMark[]) : [],
  };
}
