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
const MIB = 2 ** 20;
const run = promisify(execFile);

/** How long a reading is reused: the gauges of one scrape share it. */
const FRESH_MS = 1000;
let latest: { at: number; readings: Promise<GpuReading[]> } | undefined;

/** A reading of each GPU from `nvidia-smi`; empty where it is not installed. */
export function readGpus(): Promise<GpuReading[]> {
  if (latest === undefined || Date.now() - latest.at > FRESH_MS) latest = { at: Date.now(), readings: runNvidiaSmi() };
  return latest.readings;
}

async function runNvidiaSmi(): Promise<GpuReading[]> {
  try {
    const { stdout } = await run('nvidia-smi', QUERY, { timeout: 2000 });
    return parseGpus(stdout);
  } catch {
    return [];
  }
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
