import { Readable } from 'node:stream';
import { Problem } from '../errors.js';
import { receive, type Upload } from '../media/spool.js';
import { decodeDataUrl, isDataUrl } from './data-url.js';

export interface OpenOptions {
  /** Where the URL stands in the request, for errors. */
  field: string;
  signal?: AbortSignal;
}

/** Opens the URLs that stand in JSON for a file. */
export class MediaUrls {
  constructor(
    private readonly maxBytes: number,
    /** Folder for temporary files. */
    private readonly folder: string,
  ) {}

  /** @throws Problem when the URL is not one the service opens, or what it holds is not a file it reads */
  async open(url: string, { field, signal }: OpenOptions): Promise<Upload> {
    if (!isDataUrl(url)) throw refused(field);
    const bytes = decodeDataUrl(url, field);
    const options = { maxBytes: this.maxBytes, folder: this.folder };
    return receive(Readable.from([bytes]), signal === undefined ? options : { ...options, signal });
  }
}

const refused = (field: string) =>
  new Problem('invalid_request', `${field} must be a data: URL; this service fetches nothing from other hosts.`, {
    in: 'body',
    field: field.replace(/^body\./, ''),
  });
