import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';

/** What the content of a file must be: its size, and its sha256 or its git object id. */
export type ExpectedContent = { bytes: number } & ({ sha256: string } | { gitOid: string });

/** Suffix of the name of a file that is not complete. */
export const PARTIAL_SUFFIX = '.part';

/** The content of a file is not the expected one; nothing of it was kept. */
export class WrongContent extends Error {
  override readonly name = 'WrongContent';
}

/**
 * A file that is being downloaded: it grows beside its target as `NAME.DIGEST.part` and is renamed to the target when
 * it is complete and its digest is right. The digest in the name ensures that a partial file is continued with the same
 * content only. Digests are computed chunk by chunk, so a file of gigabytes is never in memory.
 */
export class PartialFile {
  #bytes = 0;
  #hashes: Hashes;

  private constructor(
    private readonly target: string,
    private readonly partialPath: string,
    private readonly handle: FileHandle,
    private readonly expected: ExpectedContent,
  ) {
    this.#hashes = new Hashes(expected);
  }

  /** Opens a new partial file, or an existing one to continue it. */
  static async open(target: string, expected: ExpectedContent): Promise<PartialFile> {
    await mkdir(path.dirname(target), { recursive: true });
    const partialPath = partialPathOf(target, expected);
    const file = new PartialFile(target, partialPath, await open(partialPath, 'a+'), expected);
    await file.#hashExisting();
    return file;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isComplete(): boolean {
    return this.#bytes === this.expected.bytes;
  }

  /** @throws WrongContent when the file becomes longer than expected; nothing of it is kept */
  async append(chunk: Uint8Array): Promise<void> {
    if (this.#bytes + chunk.length > this.expected.bytes) {
      await this.discard();
      throw new WrongContent(
        `${path.basename(this.target)} is longer than the ${this.expected.bytes} bytes that are expected.`,
      );
    }
    try {
      await this.handle.appendFile(chunk);
    } catch (error) {
      // What a full disk took of the chunk must not stay: a retry continues at `bytes`.
      await this.handle.truncate(this.#bytes).catch(() => {});
      throw error;
    }
    this.#add(chunk);
  }

  /** Empties the file. */
  async restart(): Promise<void> {
    await this.handle.truncate(0);
    this.#bytes = 0;
    this.#hashes = new Hashes(this.expected);
  }

  /**
   * Renames the complete file to its target.
   * @returns its sha256
   * @throws WrongContent when the content is not the expected one; nothing of it is kept
   */
  async install(): Promise<string> {
    const { sha256, mismatch } = this.#hashes.finish();
    if (mismatch !== undefined) {
      await this.discard();
      throw new WrongContent(`${path.basename(this.target)} is not the expected file: ${mismatch}.`);
    }
    // Not synced: the next start verifies the file and finds one that a power cut damaged.
    await this.handle.close();
    await rename(this.partialPath, this.target);
    return sha256;
  }

  async discard(): Promise<void> {
    await this.handle.close();
    await rm(this.partialPath, { force: true });
  }

  /** Keeps the partial file, to be continued later. */
  close(): Promise<void> {
    return this.handle.close();
  }

  async #hashExisting(): Promise<void> {
    if ((await this.handle.stat()).size > this.expected.bytes) await this.handle.truncate(0);
    for await (const chunk of this.handle.createReadStream({ start: 0, autoClose: false })) this.#add(chunk as Buffer);
  }

  #add(chunk: Uint8Array): void {
    this.#hashes.add(chunk);
    this.#bytes += chunk.length;
  }
}

function partialPathOf(target: string, expected: ExpectedContent): string {
  const digest = 'sha256' in expected ? expected.sha256 : expected.gitOid;
  return `${target}.${digest.slice(0, 12)}${PARTIAL_SUFFIX}`;
}

/** Bytes of a partial file that an earlier run left; 0 for none. */
export async function partialBytes(target: string, expected: ExpectedContent): Promise<number> {
  const found = await stat(partialPathOf(target, expected)).catch(() => undefined);
  return found?.size ?? 0;
}

/** The sha256 of a content and, where it is expected, its git object id: the sha1 of a header and the content. */
class Hashes {
  readonly #sha256 = createHash('sha256');
  readonly #git: Hash | undefined;

  constructor(private readonly expected: ExpectedContent) {
    if ('gitOid' in expected) this.#git = createHash('sha1').update(`blob ${expected.bytes}\0`);
  }

  add(chunk: Uint8Array): void {
    this.#sha256.update(chunk);
    this.#git?.update(chunk);
  }

  finish(): { sha256: string; mismatch: string | undefined } {
    const sha256 = this.#sha256.digest('hex');
    const gitOid = this.#git?.digest('hex');
    const { expected } = this;
    if ('sha256' in expected && sha256 !== expected.sha256)
      return { sha256, mismatch: `its sha256 is ${sha256}, not ${expected.sha256}` };
    if ('gitOid' in expected && gitOid !== expected.gitOid)
      return { sha256, mismatch: `its git id is ${gitOid}, not ${expected.gitOid}` };
    return { sha256, mismatch: undefined };
  }
}
