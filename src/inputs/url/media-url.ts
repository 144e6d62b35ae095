import { Readable } from 'node:stream';
import { receive, type Upload } from '../../media/upload.js';
import type { ByteBudget } from '../byte-budget.js';
import { decodeDataUrl, isDataUrl } from './data-url.js';
import type { RemoteFiles } from './fetch-remote.js';

export interface OpenOptions {
  /** Where the input stands in the request, for errors. */
  field: string;
  /** Shared by all that one request opens. */
  budget: ByteBudget;
  signal: AbortSignal;
}

/** Opens the URLs that stand in JSON for a file. */
export class MediaUrls {
  /** @param folder for temporary files */
  constructor(
    private readonly limits: { maxBytes: number; folder: string },
    private readonly remote: RemoteFiles,
  ) {}

  /** @throws Problem when the URL is not one the service opens, or what it holds is not a file it reads */
  async open(url: string, options: OpenOptions): Promise<Upload> {
    if (!isDataUrl(url)) return this.openRemote(url, options);
    const bytes = decodeDataUrl(url, options.field);
    options.budget.spend(bytes.length);
    return receive(Readable.from([bytes]), { ...this.limits, signal: options.signal });
  }

  private async openRemote(url: string, { field, budget, signal: client }: OpenOptions): Promise<Upload> {
    const { stream, signal, explain } = await this.remote.open(url, field, client);
    try {
      return await receive(Readable.from(spending(stream, budget)), { ...this.limits, signal });
    } catch (error) {
      throw explain(error);
    } finally {
      // What was refused is not read to its end: it may have none.
      stream.destroy();
    }
  }
}

/** The chunks as they come, each paid for: fetches that run together share what is left. */
async function* spending(stream: Readable, budget: ByteBudget): AsyncGenerator<Buffer> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    budget.spend(chunk.length);
    yield chunk;
  }
}
