import { readFile } from 'node:fs/promises';

/** Resident memory of a process, in MB (10^6 bytes). */
export async function residentMB(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return (Number(/VmRSS:\s+(\d+)/.exec(status)[1]) * 1024) / 1e6;
}
