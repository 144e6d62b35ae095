import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface GpuReading {
  /** The GPU's number. */
  gpu: string;
  usedBytes: number;
  totalBytes: number;
  /** 0 to 1. */
  busyRatio: number;
}

const QUERY = ['--query-gpu=index,memory.used,memory.total,utilization.gpu', '--format=csv,noheader,nounits'];
const MIB = 2 ** 20;
const run = promisify(execFile);

/** One reading serves the gauges of one scrape. */
const FRESH_MS = 1000;
let latest: { at: number; readings: Promise<GpuReading[]> } | undefined;

/** What `nvidia-smi` says of each GPU; none where there is no `nvidia-smi`. */
export function readGpus(): Promise<GpuReading[]> {
  if (latest === undefined || Date.now() - latest.at > FRESH_MS) latest = { at: Date.now(), readings: askNvidiaSmi() };
  return latest.readings;
}

async function askNvidiaSmi(): Promise<GpuReading[]> {
  try {
    const { stdout } = await run('nvidia-smi', QUERY, { timeout: 2000 });
    return parseGpus(stdout);
  } catch {
    return [];
  }
}

/** Parses lines such as `0, 1523, 81559, 37`: index, MiB used, MiB in all, percent busy. */
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
