import { isDeepStrictEqual } from 'node:util';
import { Problem } from '../common/errors.js';
import { type FileMark, markOf } from '../inputs/file-mark.js';
import type { MediaRoots } from '../inputs/media-roots.js';
import { type FoundFile, findFiles } from '../media/find-files.js';
import type { Job, JobCounts } from './job.js';
import { liveClips } from './live-photos.js';
import { sidecarFinder } from './sidecar-finder.js';
import type { StorableItem } from './storable-item.js';
import { type JobHooks, type JobParts, patiently, storeEach } from './store-items.js';

/** A file of a media root, as it is or as it was when its item was stored; the path is the id of the item. */
export interface KnownFile extends FileMark {
  /** The clip of a Live Photo. */
  clip: FileMark | undefined;
  /** The files beside it that say more of it. */
  sidecars: readonly FileMark[];
}

/** What a job for a folder needs of the service. */
export interface FolderJobParts extends JobParts {
  roots: MediaRoots;
  /** Whether items have what their files say of themselves. */
  readsFacts: boolean;
  /**
   * Gives the vector of an item to another one, made from a file of the same content.
   * @param isAnew whether what the file says of itself is read again; otherwise the other item has the metadata of the one
   * @returns false where the content is another one, or the vector cannot be kept
   */
  move(from: string, to: StorableItem, isAnew: boolean, signal: AbortSignal): Promise<boolean>;
  /** The items whose path begins with `prefix`. */
  known(prefix: string): AsyncIterable<KnownFile>;
  /** @returns how many items were removed */
  remove(ids: readonly string[]): Promise<number>;
}

const REMOVED_AT_ONCE = 1000;

/**
 * Brings the items of a folder up to date with its files. What is stored tells what has been done, so a job that was
 * interrupted anywhere goes on by beginning again: files that are stored and unchanged are not read.
 *
 * @throws Problem where the folder cannot be read; the reason of `signal` when it aborts
 */
export async function runFolder(
  { folder = '', prune, all: isForAll, dry_run: isDryRun }: Pick<Job, 'folder' | 'prune' | 'all' | 'dry_run'>,
  counts: JobCounts,
  parts: FolderJobParts,
  hooks: JobHooks,
): Promise<void> {
  const place = await parts.roots.findFolder(folder, 'body.folder');
  const { files: all, sidecars, unreadable } = await findFiles(place);
  const closed = unreadable.find(({ file }) => file === place);
  if (closed !== undefined) throw new Problem('forbidden', `The folder "${folder}" cannot be read: ${closed.reason}.`);
  const within = (name: string) => `${folder}/${name}`;
  await hooks.onRefused(unreadable.map(({ file, reason }) => ({ file: within(file), reason })));
  const known = new Map<string, KnownFile>();
  // Where nobody reads what lies beside a file, it does not matter whether that has changed.
  for await (const item of parts.known(`${folder}/`))
    known.set(item.path, parts.readsFacts ? item : { ...item, sidecars: [] });
  const toMark = ({ name, bytes, modifiedMs }: FoundFile) => markOf({ path: within(name), bytes, modifiedMs });
  const clips = await liveClips(all, (photo, clip) => {
    if (isDeepStrictEqual(known.get(within(photo.name))?.clip, toMark(clip))) return true;
    return known.has(within(clip.name)) ? false : undefined;
  });
  const sidecarsOf = sidecarFinder(parts.readsFacts ? sidecars : []);
  const areClips = new Set(clips.values());
  const files = all.filter((file) => !areClips.has(file));
  Object.assign(counts, { found: files.length + unreadable.length, refused: unreadable.length });
  const present = new Set(files.map(({ name }) => within(name)));
  // What cannot be read now, a file or a whole folder, is not gone.
  const isHidden = (path: string) =>
    unreadable.some(({ file }) => path === within(file) || path.startsWith(within(file.replace(/\/?$/, '/'))));
  const gone = new Gone([...known.values()].filter(({ path }) => !present.has(path) && !isHidden(path)));
  const changed: StorableItem[] = [];
  await hooks.onProgress(counts);
  for (const one of files) {
    const clip = clips.get(one.name);
    const file: KnownFile = {
      ...toMark(one),
      clip: clip === undefined ? undefined : toMark(clip),
      sidecars: sidecarsOf(one.name).map(toMark),
    };
    const before = known.get(file.path);
    const isSame = !isForAll && before !== undefined && isSameFile(before, file);
    if (isSame && areAlike(before.sidecars, file.sidecars)) counts.unchanged += 1;
    else if (isSame && isDryRun) counts.updated += 1;
    else if (isForAll || isDryRun) changed.push(toItem(file));
    else if (!(await keepVector(file, before, gone, counts, parts, hooks))) changed.push(toItem(file));
  }
  if (prune) assertNotEmpty(folder, files.length, known.size);
  if (isDryRun) Object.assign(counts, { stored: changed.length, removed: prune ? gone.paths.length : 0 });
  await hooks.onProgress(counts);
  if (isDryRun) return;
  await storeEach(changed, counts, parts, hooks);
  if (prune) await removeGone(gone.paths, counts, parts, hooks);
}

/** A disk that is not mounted is an empty folder. @throws Problem `conflict` instead of removing everything */
function assertNotEmpty(folder: string, files: number, known: number): void {
  if (files > 0 || known === 0) return;
  const detail = `"${folder}" has no files now, as if its disk were not mounted: the ${known} items stay. To remove them, delete them by filter.`;
  throw new Problem('conflict', detail);
}

/** The item of a file. */
const toItem = ({ path, clip, sidecars }: KnownFile): StorableItem => ({
  id: path,
  json: { path, sidecars },
  metadata: {
    ...(clip === undefined ? {} : { live_clip: clip }),
    ...(sidecars.length === 0 ? {} : { sidecars }),
  },
});

const isSameFile = (a: KnownFile, b: KnownFile): boolean => look(a) === look(b) && isDeepStrictEqual(a.clip, b.clip);

/** Whether the files are the same but for their names, which change with that of the photo. */
const areAlike = (a: readonly FileMark[], b: readonly FileMark[]): boolean =>
  isDeepStrictEqual(a.map(look), b.map(look));

/** Items whose file is no longer there; some of these files may be elsewhere now. */
class Gone {
  private readonly byLook = new Map<string, KnownFile[]>();

  constructor(private readonly items: readonly KnownFile[]) {
    for (const item of items) this.byLook.set(look(item), [...this.alike(item), item]);
  }

  get paths(): string[] {
    return this.items.map(({ path }) => path).filter((path) => !this.moved.has(path));
  }
  private readonly moved = new Set<string>();

  /** Those with the size and the time of a file: renaming changes neither. */
  alike(file: KnownFile): readonly KnownFile[] {
    return (this.byLook.get(look(file)) ?? []).filter(({ path }) => !this.moved.has(path));
  }

  isMoved(path: string): void {
    this.moved.add(path);
  }
}

const look = ({ bytes, modified_at }: FileMark): string => `${bytes} ${modified_at}`;

/** Keeps the vector of a file that was only renamed, or of which the pixels are as before. @returns whether it could */
async function keepVector(
  file: KnownFile,
  before: KnownFile | undefined,
  gone: Gone,
  counts: JobCounts,
  { move }: FolderJobParts,
  hooks: JobHooks,
): Promise<boolean> {
  const moveFrom = (from: KnownFile) => {
    const isAnew = !areAlike(from.sidecars, file.sidecars);
    return patiently(() => move(from.path, toItem(file), isAnew, hooks.signal), hooks, counts);
  };
  if (before !== undefined) {
    if (before.bytes !== file.bytes || !(await moveFrom(before))) return false;
    counts.updated += 1;
    return true;
  }
  for (const from of gone.alike(file))
    if (await moveFrom(from)) {
      gone.isMoved(from.path);
      counts.moved += 1;
      return true;
    }
  return false;
}

async function removeGone(
  gone: readonly string[],
  counts: JobCounts,
  { remove }: FolderJobParts,
  { signal, onProgress }: JobHooks,
): Promise<void> {
  for (let i = 0; i < gone.length; i += REMOVED_AT_ONCE) {
    signal.throwIfAborted();
    counts.removed += await remove(gone.slice(i, i + REMOVED_AT_ONCE));
    await onProgress(counts);
  }
}
