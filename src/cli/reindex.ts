import { rm } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import type { FastifyBaseLogger } from 'fastify';
import { pino } from 'pino';
import { totalOf } from '../common/modality.js';
import { type Config, loadConfig } from '../config.js';
import type { Embedding } from '../embedding/embedding.js';
import { EmbeddingCache, sizeOfEmbedding } from '../embedding/embedding-cache.js';
import { embedAgain, type KeepingStore, type LeftOut, withoutOriginal } from '../items/reindex.js';
import { Ffmpeg } from '../media/video/ffmpeg.js';
import { type Model, openModel } from '../models/catalog.js';
import { Metrics } from '../observability/metrics.js';
import { whileLocked } from '../serving/data-dir.js';
import { ModelLoader } from '../serving/load-model.js';
import { modelSources } from '../serving/model-registry.js';
import { bindingOf, buildingDir, finishSwap, swapIn } from '../store/faiss/index-swap.js';
import { openFaissStore } from '../store/faiss/store.js';
import type { ModelBinding } from '../store/vector-store.js';
import { ProgressBar } from './progress-bar.js';

interface ReindexOptions {
  /** Name of the index to read; the model's own name when undefined. */
  from?: string;
  /** Whether to continue without items that cannot be embedded again. */
  leaveOut?: boolean;
}

export const command = new Command('reindex')
  .description('embed the stored items again with the model of the settings, from their originals (see KEEP_ORIGINALS)')
  .option('--from <model>', 'read the index of this model')
  .option('--leave-out', 'continue without items whose original was not kept')
  .addHelpText('after', '\nStop the service first. An interrupted run continues where it stopped.')
  .action(async (options: ReindexOptions) => console.log(await reindex(options)));

/**
 * Embeds the originals of an index with the model of the settings, into a new index that replaces the old one when it
 * is complete. After an interruption, the next run continues.
 * @returns what was done, in words
 */
async function reindex(options: ReindexOptions): Promise<string> {
  const config: Config = { ...loadConfig(process.env), KEEP_ORIGINALS: true };
  if (config.STORE !== 'faiss')
    throw new Error('reindex needs STORE=faiss: with STORE=chroma the service keeps no originals.');
  return whileLocked(config.DATA_DIR, () => reindexLocked(config, options));
}

async function reindexLocked(config: Config, { from, leaveOut = false }: ReindexOptions): Promise<string> {
  const source = modelSources(config)[0];
  const model = await openModel(source, config);
  const { name, revision, dim } = model.manifest;
  const binding = { model: name, revision, dim };
  const dir = path.join(config.DATA_DIR, 'index', name);
  const oldDir = path.join(config.DATA_DIR, 'index', from ?? name);
  await finishSwap(dir);
  const old = await bindingOf(oldDir);
  if (old === undefined) throw new Error(`There is no index "${from ?? name}". Name the index to read: --from MODEL`);
  if (isSame(old, binding)) return `The index "${from ?? name}" was already made with ${describe(binding)}.`;
  if (oldDir !== dir && (await bindingOf(dir)) !== undefined)
    throw new Error(`There is already an index "${name}". To make it from "${from}", move ${dir} away first.`);

  const total = await build(config, { source, model, dir, oldDir, old, leaveOut });
  const before = await swapIn(dir);
  const made = `${total.embedded} items are in the index of ${describe(binding)} now`;
  if (before === undefined) return `${made}; the index "${from}" is unchanged.`;
  if (total.leftOut === 0) {
    await rm(before, { recursive: true });
    return `${made}.`;
  }
  return `${made}; the old index, with ${total.leftOut} items that were left out, is kept in ${before}.`;
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
    const missing = await withoutOriginal(from);
    const all = totalOf(await from.count());
    if (missing.count > 0 && !plan.leaveOut) throw new Error(cannotEmbed(missing, all));
    const leftOut = await fill(config, plan, from, all, logger);
    if (leftOut.count > missing.count && !plan.leaveOut) throw new Error(cannotEmbed(leftOut, all));
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
  // An interrupted run for another model left vectors that this index cannot hold.
  const begun = await bindingOf(buildingDir(dir));
  if (begun !== undefined && !isSame(begun, { model: name, revision, dim }))
    await rm(buildingDir(dir), { recursive: true });
  const metrics = new Metrics();
  const cache = new EmbeddingCache<Embedding>(0, sizeOfEmbedding, metrics);
  const loader = new ModelLoader({ config, metrics, logger, cache, ffmpeg: await Ffmpeg.locate() });
  const index = path.basename(buildingDir(dir));
  const to = await loader.open(source, model, { workers: config.ENCODER_WORKERS, index });
  const bar = new ProgressBar('embedding again', all);
  try {
    return await embedAgain(
      from,
      { embedder: to.embedder, dim: to.dim, store: to.store as KeepingStore },
      {
        concurrency: 2 * config.MAX_BATCH_SIZE,
        spoolFolder: path.join(config.DATA_DIR, 'spool'),
        onProgress: ({ embedded, skipped }) => {
          bar.skip(skipped);
          bar.advance(embedded);
        },
      },
    );
  } finally {
    await to.close();
  }
}

const cannotEmbed = (leftOut: LeftOut, all: number): string =>
  `${leftOut.count} of ${all} items cannot be embedded again: they were stored as ready vectors, or without KEEP_ORIGINALS.\n` +
  `${list(leftOut)}\nThe old index is unchanged. With --leave-out the new index is made without them, and the old one is kept beside it.`;

function list({ count, first }: LeftOut): string {
  const lines = first.map(({ id, reason }) => `  ${id}: ${reason}`);
  return [...lines, ...(count > first.length ? [`  and ${count - first.length} more`] : [])].join('\n');
}

const isSame = (a: ModelBinding, b: ModelBinding): boolean =>
  a.model === b.model && a.revision === b.revision && a.dim === b.dim;
const describe = ({ model, revision }: ModelBinding): string => `${model} (revision ${revision})`;
