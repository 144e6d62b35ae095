import type { HubConnection, Reply } from './http-client.js';
import { HubError } from './hub-error.js';
import { type Expected, PartFile, WrongContent } from './partial-file.js';
import { type Patience, retrying } from './retry.js';

/** Told how a file comes along. */
export interface ByteProgress {
  /** Bytes that were there already; a negative number of them must come again. */
  skip(bytes: number): void;
  /** Bytes that came. */
  advance(bytes: number): void;
}

export interface FetchOptions {
  patience: Patience;
  say: (message: string) => void;
  progress: ByteProgress;
}

/**
 * Fetches a file to `target`, going on where an earlier attempt ended.
 * @returns its sha256
 * @throws WrongContent when the hub has another file; HubError when it cannot be had
 */
export async function fetchFile(
  connection: HubConnection,
  address: string,
  expected: Expected,
  target: string,
  options: FetchOptions,
): Promise<string> {
  const { patience, say, progress } = options;
  const part = await PartFile.open(target, expected);
  const begunBytes = part.bytes;
  progress.skip(begunBytes);
  try {
    await retrying(
      () => complete(connection, address, part, progress),
      patience,
      say,
      () => part.bytes,
    );
  } catch (error) {
    await (part.bytes === 0 ? part.discard() : part.close());
    throw error;
  }
  try {
    return await part.finish();
  } catch (error) {
    progress.skip(-expected.bytes);
    // What an earlier run left may have been damaged since; only a file fetched whole tells what the hub has.
    if (begunBytes === 0 || !(error instanceof WrongContent)) throw error;
    return fetchFile(connection, address, expected, target, options);
  }
}

async function complete(
  connection: HubConnection,
  address: string,
  part: PartFile,
  progress: ByteProgress,
): Promise<void> {
  if (part.isWhole) return;
  const reply = await connection.get(address, part.bytes === 0 ? {} : { range: `bytes=${part.bytes}-` });
  if (!continues(reply, part.bytes)) {
    progress.skip(-part.bytes);
    await part.restart();
  }
  for await (const chunk of reply.chunks) {
    await part.append(chunk);
    progress.advance(chunk.length);
  }
  if (!part.isWhole) throw new HubError(`The connection ended before the whole of ${address} had come.`, true);
}

/** Whether a reply goes on after `offset`; a server without ranges sends the whole file again. */
function continues({ status, headers }: Reply, offset: number): boolean {
  if (offset === 0) return true;
  return status === 206 && Number(/^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1]) === offset;
}
