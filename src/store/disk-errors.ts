import { Problem } from '../common/errors.js';
import { isDiskFull } from '../lib/fs.js';

/** The problem that a failed write is to the caller; the cause, with its paths, is for the log. */
export function writeProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (isDiskFull(error))
    return new Problem(
      'disk_full',
      'The disk of the index is full. Nothing of this write was kept; free space and repeat it.',
      {},
      { cause: error },
    );
  return new Problem(
    'store_unavailable',
    'The index cannot write to its disk. Nothing of this write was acknowledged.',
    {},
    { cause: error },
  );
}

/** The problem that a failure to open an index is, where the caller can remedy it; else the error itself. */
export function openProblem(error: unknown): unknown {
  if (!isDiskFull(error)) return error;
  const detail = 'The disk of the index is full, and opening it needs a few kilobytes. Free space and start again.';
  return new Problem('disk_full', detail, {}, { cause: error });
}
