import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type ExpectedContent, PartialFile } from '../files/partial-file.js';
import { pinOf } from '../files/pins.js';
import type { HubManifest } from '../manifest.js';
import { type ByteProgress, downloadFile } from './download.js';
import type { HubApi } from './hub-api.js';

/** Where the files of a model come from. */
export interface FileSource {
  /** The commit that the files are of, once it is resolved; undefined for a folder. */
  readonly commit: string | undefined;
  /** The size and digest of files. @throws Error for a file that the source does not have */
  describe(files: readonly string[]): Promise<Map<string, ExpectedContent>>;
  /** Writes a file to `target`. @returns its sha256 */
  fetch(file: string, expected: ExpectedContent, target: string, progress: ByteProgress): Promise<string>;
}

const COMMIT = /^[0-9a-f]{40}$/;

/** A repository of a model hub, at the revision of the manifest, or at the commit of the lockfile. */
export class HubSource implements FileSource {
  #commit: string | undefined;

  constructor(
    private readonly hub: HubApi,
    private readonly source: HubManifest['source'],
    lockedCommit: string | undefined,
  ) {
    this.#commit = COMMIT.test(source.revision) ? source.revision : lockedCommit;
  }

  get commit(): string | undefined {
    return this.#commit;
  }

  async describe(files: readonly string[]): Promise<Map<string, ExpectedContent>> {
    if (files.length === 0) return new Map();
    const { repository } = this.source;
    const available = await this.hub.filesOf(repository, await this.#resolveCommit());
    return new Map(
      files.map((file) => {
        const expected = available.get(file);
        if (expected === undefined) throw new Error(`${repository} has no file ${file} at ${this.#commit}.`);
        return [file, expected];
      }),
    );
  }

  async fetch(file: string, expected: ExpectedContent, target: string, progress: ByteProgress): Promise<string> {
    const url = this.hub.urlOf(this.source.repository, await this.#resolveCommit(), file);
    return downloadFile(this.hub, url, expected, target, progress);
  }

  async #resolveCommit(): Promise<string> {
    this.#commit ??= await this.hub.commitOf(this.source.repository, this.source.revision);
    return this.#commit;
  }
}

/** A folder with the files of a repository: the way to a machine without a network. */
export class FolderSource implements FileSource {
  readonly commit = undefined;

  constructor(private readonly folder: string) {}

  async describe(files: readonly string[]): Promise<Map<string, ExpectedContent>> {
    const described = files.map(
      async (file): Promise<[string, ExpectedContent]> => [file, await pinOf(await this.#pathOf(file))],
    );
    return new Map(await Promise.all(described));
  }

  async fetch(file: string, expected: ExpectedContent, target: string, progress: ByteProgress): Promise<string> {
    const from = await this.#pathOf(file);
    const partial = await PartialFile.open(target, expected);
    await partial.restart();
    for await (const chunk of createReadStream(from)) {
      await partial.append(chunk as Buffer);
      progress.advance((chunk as Buffer).length);
    }
    return partial.install();
  }

  async #pathOf(file: string): Promise<string> {
    const found = path.join(this.folder, file);
    if ((await stat(found).catch(() => undefined))?.isFile()) return found;
    throw new Error(`${this.folder} has no file ${file}.`);
  }
}
