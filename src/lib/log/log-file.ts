import { once } from 'node:events';
import openRotatingFile from 'pino-roll';

export interface LogFileOptions {
  /** Path of the file; a number is put before its extension. */
  file: string;
  /** Size at which a new file begins; one also begins every day. */
  maxBytes: number;
  /** Full files to keep. */
  maxFiles: number;
}

/** Lines that wait for a disk that takes none; further ones are dropped. */
const MAX_WAITING_BYTES = 4_000_000;

/** Where log lines go. */
export interface LogFile {
  write(line: string): void;
}

/**
 * Opens a log file that rotates. It is written in this thread, without blocking it: a transport in a thread of its own
 * would end with the first write that fails, and every later line with it.
 *
 * A disk that is full costs lines, not the service: what fits into memory is written when there is room again.
 * @throws Error when the folder cannot be made or written to
 */
export async function openLogFile({ file, maxBytes, maxFiles }: LogFileOptions): Promise<LogFile> {
  const destination = await openRotatingFile({
    file,
    size: `${maxBytes}b`,
    frequency: 'daily',
    limit: { count: maxFiles, removeOtherLogFiles: true },
    maxLength: MAX_WAITING_BYTES,
    mkdir: true,
  });
  await once(destination, 'ready');
  let isFailing = false;
  destination.on('error', (error: Error) => {
    if (!isFailing) process.stderr.write(`onespace cannot write its log: ${error.message}\n`);
    isFailing = true;
  });
  destination.on('write', () => {
    isFailing = false;
  });
  process.once('exit', () => {
    try {
      destination.flushSync();
    } catch {
      // The reason has been reported, and the process ends.
    }
  });
  return destination;
}
