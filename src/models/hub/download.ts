import { type ExpectedContent, PartialFile, WrongContent } from '../files/partial-file.js';
import type { HttpClient, Reply } from './http-client.js';
import type { HubApi } from './hub-api.js';
import { HubError } from './hub-error.js';

/** Receives the progress of a download. */
export interface ByteProgress {
  /** Bytes that an earlier run downloaded; negative for bytes that have to be downloaded again. */
  skip(bytes: number): void;
  /** Bytes received. */
  advance(bytes: number): void;
}

/**
 * Downloads a file to `target`, continuing a partial file of an earlier attempt.
 * @returns its sha256
 * @throws WrongContent when the hub has another file; HubError when the download fails
 */
export async function downloadFile(
  hub: HubApi,
  url: string,
  expected: ExpectedContent,
  target: string,
  progress: ByteProgress,
): Promise<string> {
  const partial = await PartialFile.open(target, expected);
  const earlierBytes = partial.bytes;
  progress.skip(earlierBytes);
  try {
    await hub.withRetries(
      () => downloadRest(hub.client, url, partial, progress),
      () => partial.bytes,
    );
  } catch (error) {
    await (partial.bytes === 0 ? partial.discard() : partial.close());
    throw error;
  }
  try {
    return await partial.install();
  } catch (error) {
    progress.skip(-expected.bytes);
    // An earlier part may be damaged: only a file that was downloaded as a whole shows what the hub has.
    if (earlierBytes === 0 || !(error instanceof WrongContent)) throw error;
    return downloadFile(hub, url, expected, target, progress);
  }
}

async function downloadRest(
  client: HttpClient,
  url: string,
  partial: PartialFile,
  progress: ByteProgress,
): Promise<void> {
  if (partial.isComplete) return;
  const reply = await client.get(url, partial.bytes === 0 ? {} : { range: `bytes=${partial.bytes}-` });
  if (!startsAt(partial.bytes, reply)) {
    progress.skip(-partial.bytes);
    await partial.restart();
  }
  for await (const chunk of reply.chunks) {
    await partial.append(chunk);
    progress.advance(chunk.length);
  }
  if (!partial.isComplete) throw new HubError(`The connection ended before all of ${url} was received.`, true);
}

/** Whether a reply continues at `offset`; a server without range requests sends the whole file again. */
function startsAt(offset: number, { status, headers }: Reply): boolean {
  if (offset === 0) return true;
  return status === 206 && Number(/^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1]) === offset;
}
