import { readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, syncDir } from '../../lib/fs.js';
import type { ModelBinding } from '../vector-store.js';
import { layout } from './snapshot/layout.js';

/**
 * How a new index replaces an old one. It is built in the folder `<name>.reindex`. Renaming that to
 * `<name>.complete` commits to the swap, which follows at once or, after a crash, when the index is next opened.
 */
export const buildingDir = (dir: string): string => `${dir}.reindex`;
/** Marks an index that is complete and waits to be swapped in. */
const completeDir = (dir: string): string => `${dir}.complete`;

/** Swaps the built index in. @returns the new folder of the old index, where there was one */
export async function swapIn(dir: string): Promise<string | undefined> {
  await renameDurably(buildingDir(dir), completeDir(dir));
  return finishSwap(dir);
}

/**
 * Finishes a swap that a crash interrupted; does nothing otherwise. No process may have the index open.
 * @returns the new folder of the old index, where there was one
 */
export async function finishSwap(dir: string): Promise<string | undefined> {
  if (!(await exists(completeDir(dir)))) return undefined;
  let before: string | undefined;
  if (await exists(dir)) {
    before = await freeName(`${dir}.before`);
    await renameDurably(dir, before);
  }
  await renameDurably(completeDir(dir), dir);
  return before;
}

/** The model whose vectors an index folder holds; undefined where there is no index. */
export async function bindingOf(dir: string): Promise<ModelBinding | undefined> {
  try {
    const { model, revision, dim } = JSON.parse(await readFile(layout(dir).index, 'utf8')) as ModelBinding;
    return { model, revision, dim };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function freeName(preferred: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = n === 1 ? preferred : `${preferred}-${n}`;
    if (!(await exists(name))) return name;
  }
}

async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDir(path.dirname(to));
}

const exists = async (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    (error: unknown) => {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    },
  );
