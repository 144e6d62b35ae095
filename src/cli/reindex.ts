import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import { pino } from 'pino';
import { totalOf } from '../common/modality.js';
import { type Config, loadConfig } from '../config.js';
import type { Embedding } from '../embedding/embedding.js';
import { sizeOfEmbedding } from '../embedding/embedding.js';
import { Cache } from '../embedding/embedding-cache.js';
import { embedAgain, type KeepingStore, type LeftOut, withoutOriginal } from '../items/reindex.js';
import { Ffmpeg } from '../media/video/ffmpeg.js';
import { type Model, openModel } from '../models/catalog.js';
import { Metrics } from '../observability/metrics.js';
import { ModelLoader } from '../serving/load-model.js';
import { modelSources } from '../serving/model-registry.js';
import { bindingOf, buildingDir, finishSwap, swapIn } from '../store/faiss/index-swap.js';
import { openFaissStore } from '../store/faiss/store.js';
import type { ModelBinding } from '../store/vector-store.js';
import { Progress } from './progress-bar.js';

export interface ReindexChoice {
  /** Name of the index to read; without it the one that has the model's own name. */
  from?: string;
  /** Whether items that cannot be embedded again may be left out. */
  leaveOut?: boolean;
}

/**
 * Embeds what an index was made from again, with the model of the settings, into a new index that takes its
 * place when it is complete. Run again after an interruption, it goes on where it was.
 * @returns what happened, in words
 */
export async function reindex({ from, leaveOut = false }: ReindexChoice): Promise<string> {
  const config: Config = { ...loadConfig(process.env), KEEP_ORIGINALS: true };
  if (config.STORE !== 'faiss')
    throw new Error('reindex needs STORE=faiss: with a Chroma server no originals are kept.');
  const source = modelSources(config)[0];
  const model = await openModel(source, config);
  const { name, revision, dim } = model.manifest;
  const binding = { model: name, revision, dim };
  const dir = path.join(config.DATA_DIR, 'index', name);
  const oldDir = path.join(config.DATA_DIR, 'index', from ?? name);
  await finishSwap(dir);
  const old = await bindingOf(oldDir);
  if (old === undefined) throw new Error(`There is no index "${from ?? name}"; --from names another model's.`);
  if (isSame(old, binding)) return `The index "${from ?? name}" is of ${describe(binding)} already.`;
  if (oldDir !== dir && (await bindingOf(dir)) !== undefined)
    throw new Error(`There is an index "${name}" already. Move ${dir} away to make it anew from "${from}".`);

  const total = await build(config, { source, model, dir, oldDir, old, leaveOut });
  const before = await swapIn(dir);
  const made = `${total.embedded} items are in the index of ${describe(binding)} now`;
  if (before === undefined) return `${made}; the index "${from}" stays as it was.`;
  if (total.leftOut === 0) {
    await rm(before, { recursive: true });
    return `${made}.`;
  }
  return `${made}; the old index, with ${total.leftOut} that were left out, is kept in ${before}.`;
}

interface Plan {
  source: string;
  model: Model;
  dir: string;
  oldDir: string;
  old: ModelBinding;
  leaveOut: boolean;
}

async function build(config: Config, plan: Plan): Promise<{ embedded: number; leftOut: number }> {
  const logger = pino({ level: 'error' });
  const store = await openFaissStore({ dir: plan.oldDir, binding: plan.old, logger, keepOriginals: true });
  try {
    const from = store as typeof store & KeepingStore;
    const lacking = await withoutOriginal(from);
    const all = totalOf(await from.count());
    if (lacking.count > 0 && !plan.leaveOut) throw new Error(cannotEmbed(lacking, all));
    const leftOut = await fill(config, plan, from, all, logger);
    if (leftOut.count > lacking.count && !plan.leaveOut) throw new Error(cannotEmbed(leftOut, all));
    if (leftOut.count > 0) process.stderr.write(`${list(leftOut)}\n`);
    return { embedded: all - leftOut.count, leftOut: leftOut.count };
  } finally {
    await store.close();
  }
}

async function fill(
  config: Config,
  { source, model, dir }: Plan,
  from: KeepingStore,
  all: number,
  logger: FastifyBaseLogger,
): Promise<LeftOut> {
  const { name, revision, dim } = model.manifest;
  // What an interrupted run for another model had made is of no use.
  const begun = await bindingOf(buildingDir(dir));
  if (begun !== undefined && !isSame(begun, { model: name, revision, dim }))
    await rm(buildingDir(dir), { recursive: true });
  const metrics = new Metrics();
  const cache = new Cache<Embedding>(0, sizeOfEmbedding, metrics, undefined);
  const loader = new ModelLoader({ config, metrics, logger, cache, ffmpeg: await Ffmpeg.locate() });
  const index = path.basename(buildingDir(dir));
  const to = await loader.open(source, model, { workers: config.ENCODER_WORKERS, index });
  const progress = new Progress('embedding again', all);
  try {
    return await embedAgain(
      from,
      { embedder: to.embedder, store: to.store as KeepingStore },
      {
        together: 2 * config.MAX_BATCH_SIZE,
        spoolFolder: path.join(config.DATA_DIR, 'spool'),
        record: () => {},
        onProgress: ({ embedded, skipped }) => {
          progress.skip(skipped);
          progress.advance(embedded);
        },
      },
    );
  } finally {
    await to.close();
  }
}

const cannotEmbed = (leftOut: LeftOut, all: number): string =>
  `${leftOut.count} of ${all} items cannot be embedded again: their vectors came ready, or were stored without KEEP_ORIGINALS.\n` +
  `${list(leftOut)}\nThe old index has been left as it is. With --leave-out the new one is made without them, and the old one is kept beside it.`;

function list({ count, first }: LeftOut): string {
  const lines = first.map(({ id, reason }) => `  ${id}: ${reason}`);
  return [...lines, ...(count > first.length ? [`  and ${count - first.length} more`] : [])].join('\n');
}

const isSame = (a: ModelBinding, b: ModelBinding): boolean =>
  a.model === b.model && a.revision === b.revision && a.dim === b.dim;
const describe = ({ model, revision }: ModelBinding): string => `${model} (revision ${revision})`;
