import { Problem } from '../common/errors.js';
import { errorCode, isDiskFull } from '../lib/fs.js';

/** What to do about an error of the disk, by its code. */
const REMEDIES: Record<string, string> = {
  EROFS: 'The disk is read-only: mount it writable again.',
  EACCES: 'The service may not write there: check who owns the data folder.',
  EPERM: 'The service may not write there: check who owns the data folder.',
  EMFILE: 'The service has too many files open: raise its limit (ulimit -n).',
  ENFILE: 'The machine has too many files open.',
};
const CHECK_DISK = 'Check the disk; the log has its error.';

const remedyOf = (error: unknown): string => REMEDIES[errorCode(error) ?? ''] ?? CHECK_DISK;

/** Codes by which the disk, its rights or the limits of the process refuse a file call. */
const REFUSALS = new Set(['EIO', ...Object.keys(REMEDIES)]);

/** The problem that an error of a file call is to a caller whose request needed the file; undefined for other errors. */
export function fileProblem(error: unknown): Problem | undefined {
  if (isDiskFull(error)) {
    const detail = 'The disk of the service is full. Nothing of this request was kept; free space and repeat it.';
    return new Problem('disk_full', detail, {}, { cause: error });
  }
  if (!REFUSALS.has(errorCode(error) ?? '')) return undefined;
  const detail = `The service cannot use its disk. ${remedyOf(error)}`;
  return new Problem('store_unavailable', detail, {}, { cause: error });
}

/** The problem that a failed write is to the caller; the cause, with its paths, is for the log. */
export function writeProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (isDiskFull(error))
    return new Problem(
      'disk_full',
      'The disk of the index is full. Nothing of this write was acknowledged; free space and repeat it.',
      {},
      { cause: error },
    );
  const detail = `The index cannot write to its disk. Nothing of this write was acknowledged. ${remedyOf(error)}`;
  return new Problem('store_unavailable', detail, {}, { cause: error });
}

/** The problem that a failed read is to the caller, where the disk is at fault; else the error itself. */
export function readProblem(error: unknown): unknown {
  if (error instanceof Problem || errorCode(error) === undefined) return error;
  return new Problem('store_unavailable', `The index cannot read its disk. ${remedyOf(error)}`, {}, { cause: error });
}

/** The problem that a failure to open an index is, where the caller can remedy it; else the error itself. */
export function openProblem(error: unknown): unknown {
  if (error instanceof Problem || errorCode(error) === undefined) return error;
  if (isDiskFull(error)) {
    const detail = 'The disk of the index is full, and opening it needs a few kilobytes. Free space and start again.';
    return new Problem('disk_full', detail, {}, { cause: error });
  }
  const detail = `The index cannot be opened: ${errorCode(error)}. ${remedyOf(error)}`;
  return new Problem('store_unavailable', detail, {}, { cause: error });
}
