import { Readable } from 'node:stream';
import { type ReceiveOptions, receive, type Upload } from '../media/spool.js';
import { decodeDataUrl, isDataUrl } from './data-url.js';
import type { RemoteFiles } from './remote.js';

export interface OpenOptions {
  /** Where the URL stands in the request, for errors. */
  field: string;
  signal?: AbortSignal;
}

/** Opens the URLs that stand in JSON for a file. */
export class MediaUrls {
  /** @param folder for temporary files */
  constructor(
    private readonly limits: { maxBytes: number; folder: string },
    private readonly remote: RemoteFiles,
  ) {}

  /** @throws Problem when the URL is not one the service opens, or what it holds is not a file it reads */
  async open(url: string, { field, signal }: OpenOptions): Promise<Upload> {
    if (!isDataUrl(url)) return this.openRemote(url, field, signal);
    const options: ReceiveOptions = signal === undefined ? this.limits : { ...this.limits, signal };
    return receive(Readable.from([decodeDataUrl(url, field)]), options);
  }

  private async openRemote(url: string, field: string, client?: AbortSignal): Promise<Upload> {
    const { stream, signal, explain } = await this.remote.open(url, field, client);
    try {
      return await receive(stream, { ...this.limits, signal });
    } catch (error) {
      throw explain(error);
    } finally {
      // What was refused is not read to its end: it may have none.
      stream.destroy();
    }
  }
}
