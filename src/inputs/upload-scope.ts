import { clientClosed, Problem } from '../common/errors.js';
import type { Upload } from '../media/upload.js';

/**
 * Owns the files of one request. Their bytes have one limit, and they are released together: when the request has
 * ended and nothing that outlives it (a computation that other requests share, a shadow comparison, a write to a
 * second index) reads them any more.
 */
export class UploadScope {
  readonly #uploads: Upload[] = [];
  #bytes = 0;
  #storedBytes = 0;
  /** The request itself, and every reader that outlives it. */
  #holders = 1;

  /**
   * @param maxBytes of all files together: a short JSON body must not cause large downloads
   * @param maxStoredBytes of all videos together that were sent to be stored; without it they count as other files
   */
  constructor(
    private readonly maxBytes: number,
    readonly maxStoredBytes?: number,
  ) {}

  /** Counts bytes that were received. @throws Problem `too_large` when they exceed the limit of the request */
  spend(bytes: number): void {
    this.#bytes += bytes;
    assertWithin(this.#bytes, this.maxBytes);
  }

  /** Counts a file that was received. @throws Problem as `spend` */
  spendOn({ modality, size }: Pick<Upload, 'modality' | 'size'>): void {
    if (modality === 'image' || this.maxStoredBytes === undefined) this.spend(size);
    else {
      this.#storedBytes += size;
      assertWithin(this.#storedBytes, this.maxStoredBytes);
    }
  }

  /** Becomes the owner of an upload. @throws Problem `client_closed` when the request has ended meanwhile */
  add(upload: Upload): Upload {
    this.#uploads.push(upload);
    if (this.#holders > 0) return upload;
    this.#release();
    throw clientClosed();
  }

  /**
   * Keeps the uploads readable until the returned function is called.
   * @throws Problem `client_closed` when they have been released
   */
  hold(): () => void {
    if (this.#holders === 0) throw clientClosed();
    this.#holders += 1;
    return this.#dropOnce();
  }

  /** Ends the request's own hold. To be called once. */
  close(): void {
    this.#drop();
  }

  #dropOnce(): () => void {
    let held = true;
    return () => {
      if (held) this.#drop();
      held = false;
    };
  }

  #drop(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#release();
  }

  #release(): void {
    // A temporary file that cannot be deleted is deleted by the next start.
    for (const upload of this.#uploads.splice(0)) upload.dispose().catch(() => {});
  }
}

function assertWithin(bytes: number, limit: number): void {
  if (bytes <= limit) return;
  const detail = `The files of one request may have ${limit / 1e6} MB together.`;
  throw new Problem('too_large', detail, { limit_bytes: limit });
}
