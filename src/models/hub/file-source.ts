import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { HubManifest } from '../manifest.js';
import { type ByteProgress, fetchFile } from './download.js';
import type { Hub } from './hub-api.js';
import { type Expected, PartFile } from './partial-file.js';

/** Where the files of a model come from. */
export interface Source {
  /** The commit of what it offers, once `describe` has asked for it. */
  readonly commit: string | undefined;
  /** What files are, of which only the names are known. @throws Error for one that is not there */
  describe(files: readonly string[]): Promise<Map<string, Expected>>;
  /** Brings a file to `target`. @returns its sha256 */
  fetch(file: string, expected: Expected, target: string, progress: ByteProgress): Promise<string>;
}

const COMMIT = /^[0-9a-f]{40}$/;

/** A repository of a model hub, at the revision of the manifest, or at the commit from which files came before. */
export class HubSource implements Source {
  #commit: string | undefined;

  constructor(
    private readonly hub: Hub,
    private readonly source: HubManifest['source'],
    lockedCommit: string | undefined,
  ) {
    this.#commit = COMMIT.test(source.revision) ? source.revision : lockedCommit;
  }

  get commit(): string | undefined {
    return this.#commit;
  }

  async describe(files: readonly string[]): Promise<Map<string, Expected>> {
    if (files.length === 0) return new Map();
    const { repository } = this.source;
    const offered = await this.hub.filesOf(repository, await this.#resolve());
    return new Map(
      files.map((file) => {
        const expected = offered.get(file);
        if (expected === undefined) throw new Error(`${repository} has no file ${file} at ${this.#commit}.`);
        return [file, expected];
      }),
    );
  }

  async fetch(file: string, expected: Expected, target: string, progress: ByteProgress): Promise<string> {
    const { connection, patience, say } = this.hub;
    const address = this.hub.addressOf(this.source.repository, await this.#resolve(), file);
    return fetchFile(connection, address, expected, target, { patience, say, progress });
  }

  async #resolve(): Promise<string> {
    this.#commit ??= await this.hub.commitOf(this.source.repository, this.source.revision);
    return this.#commit;
  }
}

/** A folder with the files of a repository: how a model gets to a machine without a network. */
export class FolderSource implements Source {
  readonly commit = undefined;

  constructor(private readonly folder: string) {}

  async describe(files: readonly string[]): Promise<Map<string, Expected>> {
    const described = files.map(
      async (file): Promise<[string, Expected]> => [file, await pinOf(await this.#present(file))],
    );
    return new Map(await Promise.all(described));
  }

  async fetch(file: string, expected: Expected, target: string, progress: ByteProgress): Promise<string> {
    const from = await this.#present(file);
    const part = await PartFile.open(target, expected);
    await part.restart();
    for await (const chunk of createReadStream(from)) {
      await part.append(chunk as Buffer);
      progress.advance((chunk as Buffer).length);
    }
    return part.finish();
  }

  async #present(file: string): Promise<string> {
    const found = path.join(this.folder, file);
    if ((await stat(found).catch(() => undefined))?.isFile()) return found;
    throw new Error(`${this.folder} has no file ${file}.`);
  }
}

/** The size and sha256 of a file on disk. @throws Error when it is not there */
export async function pinOf(file: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file)) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
