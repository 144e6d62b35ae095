import { createReadStream } from 'node:fs';
import { Command, Option } from 'commander';
import { MODALITIES, type Modality } from '../../common/modality.js';
import { toUnitVector } from '../../common/vector.js';
import { loadConfig } from '../../config.js';
import { linesOf } from '../../lib/lines.js';
import { ChromaCollection, type ChromaCollectionOptions } from '../../store/chroma/collection-reader.js';
import { importItems, importLines } from '../../store/export-import.js';
import type { ModelBinding } from '../../store/vector-store.js';
import { ProgressBar } from '../progress-bar.js';
import { ownBinding, withOwnStore } from './own-store.js';

interface ChromaImport extends ChromaCollectionOptions {
  modalityField: string;
  modality: Modality;
}

export const command = new Command('import')
  .description(
    'store the items of an exported file or of a Chroma collection (with an embedded store, stop the service first)',
  )
  .argument('[file]', 'file that "onespace export" wrote; items with the same ids are replaced')
  .option('--chroma <url>', 'Chroma server to read from; its vectors must come from the model of the settings')
  .option('--collection <name>', 'collection of the Chroma server')
  .option('--tenant <name>', 'tenant of the collection')
  .option('--database <name>', 'database of the collection')
  .option('--modality-field <name>', 'metadata field that holds text, image or video', 'modality')
  .addOption(
    new Option('--modality <name>', 'modality of items without that field').choices(MODALITIES).default('text'),
  )
  .action(async (file: string | undefined, { chroma, ...from }: Omit<ChromaImport, 'url'> & { chroma?: string }) => {
    if ((file === undefined) === (chroma === undefined) || (chroma !== undefined && from.collection === undefined))
      throw new Error('Name the source of the import: a file, or --chroma with --collection.');
    const imported = chroma === undefined ? importStore(file as string) : importChroma({ url: chroma, ...from });
    console.log(`${await imported} imported`);
  });

/** @returns how many items were stored */
async function importStore(file: string): Promise<number> {
  const total = await countLines(file);
  return withOwnStore((store) =>
    importLines(store, linesOf(createReadStream(file)), advancing(new ProgressBar('importing', total))),
  );
}

/**
 * Stores the items of a Chroma collection. Only the length of its vectors, and the binding of a collection that
 * onespace made, can tell whether they come from another model.
 * @returns how many items were stored
 */
async function importChroma({ modalityField, modality, ...from }: ChromaImport): Promise<number> {
  const binding = await ownBinding(loadConfig(process.env));
  const collection = await ChromaCollection.open(from);
  checkOrigin(collection, binding);
  const bar = new ProgressBar('importing', await collection.count());
  const unit = (embedding: readonly number[]) => toUnitVector(embedding, binding.dim);
  return withOwnStore((store) =>
    importItems(store, collection.items({ modalityField, modality, toUnitVector: unit }), advancing(bar)),
  );
}

/** Advances a bar by the number of all items stored so far. */
function advancing(bar: ProgressBar): (stored: number) => void {
  let before = 0;
  return (stored) => {
    bar.advance(stored - before);
    before = stored;
  };
}

/** @throws Error for vectors that are certainly another model's */
function checkOrigin({ dimension, binding: found }: ChromaCollection, { model, revision, dim }: ModelBinding): void {
  if (dimension !== undefined && dimension !== dim)
    throw new Error(
      `The vectors of the collection have ${dimension} numbers; those of ${model} have ${dim}. Set MODEL to the model that made them.`,
    );
  if (found.model === undefined || (found.model === model && found.revision === revision)) return;
  throw new Error(
    `The collection holds vectors of ${found.model} (revision ${found.revision}), not of ${model} (revision ${revision}). Set MODEL to the model that made them.`,
  );
}

async function countLines(file: string): Promise<number> {
  let lines = 0;
  for await (const line of linesOf(createReadStream(file))) if (line.trim() !== '') lines++;
  return lines;
}
