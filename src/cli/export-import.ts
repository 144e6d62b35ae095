import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pino } from 'pino';
import { type Modality, totalOf } from '../common/modality.js';
import { toUnitVector } from '../common/vector.js';
import { type Config, loadConfig } from '../config.js';
import { findModel, modelFolders } from '../models/catalog.js';
import { Metrics } from '../observability/metrics.js';
import { modelSources } from '../serving/model-registry.js';
import { ChromaCollection, type ChromaCollectionOptions } from '../store/chroma/collection-reader.js';
import { exportLines, importItems, importLines } from '../store/export-import.js';
import { openStore } from '../store/open-store.js';
import type { ModelBinding, VectorStore } from '../store/vector-store.js';
import { Progress } from './progress-bar.js';

/** What a store of the settings holds vectors of. */
async function ownBinding(config: Config): Promise<ModelBinding> {
  const { name, revision, dim } = (await findModel(modelSources(config)[0], modelFolders(config))).manifest;
  return { model: name, revision, dim };
}

/**
 * The store of the settings, opened without the service around it. An embedded store is one process's: stop the
 * service first; a Chroma server may go on serving.
 */
async function openOwnStore(): Promise<VectorStore> {
  const config = loadConfig(process.env);
  const binding = await ownBinding(config);
  const { model, revision } = binding;
  const metrics = new Metrics().openModel({ model, name: model, revision });
  return openStore({ config, name: model, binding, events: metrics.indexEvents, logger: pino({ level: 'error' }) });
}

/** Writes everything stored as JSON Lines. @returns how many items */
export async function exportStore(file: string): Promise<number> {
  const store = await openOwnStore();
  try {
    const total = totalOf(await store.count());
    const progress = new Progress('exporting', total);
    const counted = new Transform({
      transform(line, _encoding, done) {
        progress.advance();
        done(null, line);
      },
    });
    await pipeline(Readable.from(exportLines(store)), counted, createWriteStream(file));
    return total;
  } finally {
    await store.close();
  }
}

/** Stores what an export wrote; ids that are there are replaced. @returns how many items */
export async function importStore(file: string): Promise<number> {
  const total = await countLines(file);
  const store = await openOwnStore();
  try {
    const progress = new Progress('importing', total);
    let before = 0;
    return await importLines(store, createInterface({ input: createReadStream(file) }), (stored) => {
      progress.advance(stored - before);
      before = stored;
    });
  } finally {
    await store.close();
  }
}

export interface ChromaImport extends ChromaCollectionOptions {
  modalityField: string;
  modality: Modality;
}

/**
 * Stores what a collection of a Chroma server holds. Its vectors must be of the very model of the settings: whether
 * they are, only their number of dimensions can tell, unless the collection is one of ours.
 * @returns how many items
 */
export async function importChroma({ modalityField, modality, ...from }: ChromaImport): Promise<number> {
  const binding = await ownBinding(loadConfig(process.env));
  const collection = await ChromaCollection.open(from);
  checkOrigin(collection, binding);
  const progress = new Progress('importing', await collection.count());
  const store = await openOwnStore();
  try {
    let before = 0;
    const unit = (embedding: readonly number[]) => toUnitVector(embedding, binding.dim);
    const items = collection.items({ modalityField, modality, toUnitVector: unit });
    return await importItems(store, items, (stored) => {
      progress.advance(stored - before);
      before = stored;
    });
  } finally {
    await store.close();
  }
}

/** @throws Error for vectors that are certainly another model's */
function checkOrigin({ dimension, binding: found }: ChromaCollection, { model, revision, dim }: ModelBinding): void {
  if (dimension !== undefined && dimension !== dim)
    throw new Error(
      `The vectors of the collection have ${dimension} numbers; those of ${model} have ${dim}. They are another model's.`,
    );
  if (found.model === undefined || (found.model === model && found.revision === revision)) return;
  throw new Error(
    `The collection holds vectors of ${found.model} (revision ${found.revision}), not of ${model} (revision ${revision}).`,
  );
}

async function countLines(file: string): Promise<number> {
  const handle = await open(file);
  let lines = 0;
  for await (const line of handle.readLines()) if (line.trim() !== '') lines++;
  return lines;
}
