/**
 * What a long film costs: is it indexed in bounded memory, and how much of it is read?
 *
 *   npm run build && node bench/media/film.mjs [--hours 4] [--gigabytes 20] [--folder /tmp]
 *
 * Estimate: a film is too long for every frame to matter. 32 places are sought, at each of which a few MB are read and a
 * fraction of a second is decoded: some ten seconds, and the memory of one frame.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { Ffmpeg } from '../../dist/src/media/video/ffmpeg.js';
import { residentMB } from '../resident-memory.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { runJob } from './job.mjs';

const { values } = parseArgs({
  options: {
    hours: { type: 'string', default: '4' },
    gigabytes: { type: 'string', default: '20' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const [HOURS, GIGABYTES] = [values.hours, values.gigabytes].map(Number);
const PART_SECONDS = 60;
const bitsPerSecond = Math.round((GIGABYTES * 8e9) / (HOURS * 3600));

const ffmpeg = await Ffmpeg.locate();
const folder = await mkdtemp(path.join(values.folder, 'onespace-film-'));
const runFfmpeg = (...args) => promisify(execFile)(ffmpeg.path, ['-nostdin', '-loglevel', 'error', ...args]);

/** Bytes that a process, its threads and the children that it has waited for have read from files. */
async function readBytes(pid) {
  return Number(/rchar: (\d+)/.exec(await readFile(`/proc/${pid}/io`, 'utf8'))[1]);
}

try {
  const part = path.join(folder, 'part.mp4');
  const film = path.join(folder, 'films', 'film.mp4');
  const source = `testsrc2=s=1280x720:r=30:d=${PART_SECONDS},noise=alls=60:allf=t`;
  const coding = ['-pix_fmt', 'yuv420p', '-preset', 'ultrafast', '-g', '60', '-b:v', `${bitsPerSecond}`];
  await runFfmpeg('-f', 'lavfi', '-i', source, ...coding, '-maxrate', `${bitsPerSecond}`, '-bufsize', '20M', part);
  await mkdir(path.dirname(film));
  const times = Math.round((HOURS * 3600) / PART_SECONDS) - 1;
  await runFfmpeg('-stream_loop', `${times}`, '-i', part, '-c', 'copy', film);
  const { size } = await stat(film);

  const service = await startService({ MEDIA_ROOTS: `films=${path.dirname(film)}` });
  const before = await residentMB(service.pid);
  const read = await readBytes(service.pid);
  let most = before;
  const { seconds } = await runJob(service, 'films', async () => {
    most = Math.max(most, await residentMB(service.pid));
  });
  const row = {
    film: `${HOURS} h, ${(size / 1e9).toFixed(1)} GB`,
    seconds,
    'MB read': ((await readBytes(service.pid)) - read) / 1e6,
    'resident MB before': before,
    'most resident MB': most,
  };
  await service.stop();
  printTable('Indexing a film', [row]);
} finally {
  await rm(folder, { recursive: true });
}
