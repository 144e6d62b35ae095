import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface GpuReading {
  /** Index of the GPU, as nvidia-smi counts. */
  gpu: string;
  usedBytes: number;
  totalBytes: number;
  /** Utilisation, 0 to 1. */
  busyRatio: number;
}

const QUERY = ['--query-gpu=index,memory.used,memory.total,utilization.gpu', '--format=csv,noheader,nounits'];
const TIMEOUT_MS = 4_000;
const MIB = 2 ** 20;
const run = promisify(execFile);

/** A reading of each GPU. @throws Error where `nvidia-smi` is not installed, fails or does not answer in time */
export async function readGpus(): Promise<GpuReading[]> {
  // SIGKILL: one that waits for a driver does not hear SIGTERM.
  const { stdout } = await run('nvidia-smi', QUERY, { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' });
  return parseGpus(stdout);
}

/** Parses lines such as `0, 1523, 81559, 37`: index, MiB used, MiB in total, percent utilisation. Others are skipped. */
export function parseGpus(csv: string): GpuReading[] {
  return csv
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((field) => field.trim()))
    .filter((fields) => fields.length === 4 && fields.slice(1).every((field) => /^\d+(\.\d+)?$/.test(field)))
    .map(([gpu, used, total, busy]) => ({
      gpu: gpu as string,
      usedBytes: Number(used) * MIB,
      totalBytes: Number(total) * MIB,
      busyRatio: Number(busy) / 100,
    }));
}
