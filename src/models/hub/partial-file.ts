import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';

/** What a file must be: its size, and its sha256 or its name in git. */
export type Expected = { bytes: number } & ({ sha256: string } | { gitOid: string });

/** How the names of files end that are not whole yet. */
export const PART = '.part';

/** A file that is not what it should be; nothing of it was kept. */
export class WrongContent extends Error {
  override readonly name = 'WrongContent';
}

/**
 * A file on its way: it grows beside its place as `NAME.DIGEST.part` and takes its place when it is whole and right.
 * The digest in the name makes sure that what was begun earlier is continued with the same content only; digests
 * are computed while bytes pass, so a file of gigabytes is never in memory.
 */
export class PartFile {
  #bytes = 0;
  #hashes: Hashes;

  private constructor(
    private readonly target: string,
    private readonly part: string,
    private readonly handle: FileHandle,
    private readonly expected: Expected,
  ) {
    this.#hashes = new Hashes(expected);
  }

  /** Begins a file, or goes on with what is there of it. */
  static async open(target: string, expected: Expected): Promise<PartFile> {
    await mkdir(path.dirname(target), { recursive: true });
    const part = partOf(target, expected);
    const file = new PartFile(target, part, await open(part, 'a+'), expected);
    await file.#readBegun();
    return file;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isWhole(): boolean {
    return this.#bytes === this.expected.bytes;
  }

  /** @throws WrongContent when more arrives than the file has */
  async append(chunk: Uint8Array): Promise<void> {
    if (this.#bytes + chunk.length > this.expected.bytes) {
      await this.discard();
      throw new WrongContent(`${path.basename(this.target)} is longer than the ${this.expected.bytes} bytes it has.`);
    }
    await this.handle.appendFile(chunk);
    this.#add(chunk);
  }

  /** Forgets what is there. */
  async restart(): Promise<void> {
    await this.handle.truncate(0);
    this.#bytes = 0;
    this.#hashes = new Hashes(this.expected);
  }

  /**
   * Puts the file in its place.
   * @returns its sha256
   * @throws WrongContent when it is not what was expected; then nothing is kept
   */
  async finish(): Promise<string> {
    const { sha256, mismatch } = this.#hashes.finish();
    if (mismatch !== undefined) {
      await this.discard();
      throw new WrongContent(`${path.basename(this.target)} is not the file it should be: ${mismatch}.`);
    }
    // Not synced: a file that a power cut spoils fails the check of the next start.
    await this.handle.close();
    await rename(this.part, this.target);
    return sha256;
  }

  async discard(): Promise<void> {
    await this.handle.close();
    await rm(this.part, { force: true });
  }

  /** Leaves what is there for the next time. */
  close(): Promise<void> {
    return this.handle.close();
  }

  async #readBegun(): Promise<void> {
    if ((await this.handle.stat()).size > this.expected.bytes) await this.handle.truncate(0);
    for await (const chunk of this.handle.createReadStream({ start: 0, autoClose: false })) this.#add(chunk as Buffer);
  }

  #add(chunk: Uint8Array): void {
    this.#hashes.add(chunk);
    this.#bytes += chunk.length;
  }
}

function partOf(target: string, expected: Expected): string {
  const digest = 'sha256' in expected ? expected.sha256 : expected.gitOid;
  return `${target}.${digest.slice(0, 12)}${PART}`;
}

/** How much of a file is there from an earlier time. */
export async function begunBytes(target: string, expected: Expected): Promise<number> {
  const found = await stat(partOf(target, expected)).catch(() => undefined);
  return found?.size ?? 0;
}

/** The sha256 of a file and, where it is known by that, its name in git: the sha1 of a header and the content. */
class Hashes {
  readonly #sha256 = createHash('sha256');
  readonly #git: Hash | undefined;

  constructor(private readonly expected: Expected) {
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
