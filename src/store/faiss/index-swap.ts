import { readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, syncDir } from '../../lib/fs.js';
import type { ModelBinding } from '../vector-store.js';
import { layout } from './snapshot/layout.js';

/**
 * How a new index takes the place of an old one. While it is being built it stands beside as
 * `<name>.reindex`; the name `<name>.complete` says that it is whole and is to take over, which
 * happens at once, or, after a crash, when the index is next opened.
 */
export const buildingDir = (dir: string): string => `${dir}.reindex`;
const completeDir = (dir: string): string => `${dir}.complete`;

/** @returns the folder that holds the old index from now on, where there was one */
export async function switchOver(dir: string): Promise<string | undefined> {
  await renameDurably(buildingDir(dir), completeDir(dir));
  return finishSwitch(dir);
}

/** Does what a switch that was cut short had left to do. Nobody may have the index open. */
export async function finishSwitch(dir: string): Promise<string | undefined> {
  if (!(await exists(completeDir(dir)))) return undefined;
  let before: string | undefined;
  if (await exists(dir)) {
    before = await freeName(`${dir}.before`);
    await renameDurably(dir, before);
  }
  await renameDurably(completeDir(dir), dir);
  return before;
}

/** Whose vectors an index folder holds; nothing where there is no index. */
export async function bindingOf(dir: string): Promise<ModelBinding | undefined> {
  try {
    const { model, revision, dim } = JSON.parse(await readFile(layout(dir).index, 'utf8')) as ModelBinding;
    return { model, revision, dim };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function freeName(wanted: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = n === 1 ? wanted : `${wanted}-${n}`;
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
