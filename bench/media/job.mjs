import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 250;

/**
 * Runs a job to its end.
 * @param onLook called with it, several times a second
 * @returns it, and how long it took
 * @throws where it fails, or refuses a file
 */
export async function runJob({ url }, folder, onLook = () => {}) {
  const start = performance.now();
  const headers = { 'content-type': 'application/json' };
  let job = await (await fetch(`${url}/jobs`, { method: 'POST', headers, body: JSON.stringify({ folder }) })).json();
  while (!['done', 'failed'].includes(job.state)) {
    await sleep(LOOK_MS);
    job = await (await fetch(`${url}/jobs/${job.id}`)).json();
    await onLook(job);
  }
  if (job.state !== 'done' || job.counts.refused > 0) throw new Error(JSON.stringify(job));
  return { job, seconds: (performance.now() - start) / 1000 };
}
