import { Readable } from 'node:stream';
import { receive, type Upload } from '../../media/upload.js';
import type { UploadScope } from '../upload-scope.js';
import { decodeDataUrl, isDataUrl } from './data-url.js';
import type { RemoteFiles } from './fetch-remote.js';

/** The request that a URL is opened for. */
export interface OpenContext {
  /** Becomes the owner of the file, and bounds its size. */
  uploads: UploadScope;
  /** Aborted when the client has disconnected. */
  signal?: AbortSignal | undefined;
}

/** Opens the URLs that name files in JSON. */
export class MediaUrls {
  /** @param limits `maxBytes` of one file, and the folder for temporary files */
  constructor(
    private readonly limits: { maxBytes: number; folder: string },
    private readonly remote: RemoteFiles,
  ) {}

  /**
   * @param path of the URL in the request, for errors
   * @throws Problem when the service may not open the URL, or it does not hold a file that the service reads
   */
  async open(url: string, path: string, { uploads, signal }: OpenContext): Promise<Upload> {
    if (!isDataUrl(url)) return this.openRemote(url, path, { uploads, signal });
    const bytes = decodeDataUrl(url, path);
    uploads.spend(bytes.length);
    return uploads.add(await receive(Readable.from([bytes]), { ...this.limits, ...(signal && { signal }) }));
  }

  private async openRemote(url: string, path: string, { uploads, signal: client }: OpenContext): Promise<Upload> {
    const { stream, signal, explain } = await this.remote.open(url, path, client);
    try {
      return uploads.add(await receive(Readable.from(counted(stream, uploads)), { ...this.limits, signal }));
    } catch (error) {
      throw explain(error);
    } finally {
      // A refused file is not read to its end: it may have none.
      stream.destroy();
    }
  }
}

/** The chunks of a stream, each counted as it arrives: downloads that run together share one limit. */
async function* counted(stream: Readable, uploads: UploadScope): AsyncGenerator<Buffer> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    uploads.spend(chunk.length);
    yield chunk;
  }
}
