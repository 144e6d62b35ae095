import { Problem } from '../common/errors.js';
import { isDiskFull } from '../lib/fs.js';

/** What a failed write means to the caller. Paths stay in the log. */
export function writeProblem(error: unknown): Problem {
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

/** What a failure to open an index means, where the caller can do something about it. */
export function openProblem(error: unknown): unknown {
  if (!isDiskFull(error)) return error;
  const detail = 'The disk of the index is full, and opening it needs a few kilobytes. Free space and start again.';
  return new Problem('disk_full', detail, {}, { cause: error });
}
