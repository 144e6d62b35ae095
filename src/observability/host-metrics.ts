import { statfs } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';
import { VERSION } from '../common/version.js';
import { Sampled } from '../lib/sampled.js';
import { type GpuReading, readGpus } from './gpu.js';

/**
 * The series of what the service runs on: its build, event loop, disks and GPUs.
 * @param folders whose disks are watched, by the name in the label `folder`
 */
export function watchHost(registry: Registry, folders: Record<string, string>): void {
  new Gauge({
    name: 'onespace_build_info',
    help: 'The version that runs; always 1.',
    labelNames: ['version', 'node'] as const,
    registers: [registry],
  }).set({ version: VERSION, node: process.version }, 1);
  watchEventLoop(registry);
  watchDisks(registry, folders);
  watchGpus(registry);
}

/** Its rate is the fraction of time that the event loop is busy, independent of who scrapes and how often. */
function watchEventLoop(registry: Registry): void {
  new Counter({
    name: 'onespace_event_loop_active_seconds_total',
    help: 'Time that the event loop was busy; 1 a second is all it can do.',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(performance.eventLoopUtilization().active / 1000);
    },
  });
}

function watchDisks(registry: Registry, folders: Record<string, string>): void {
  const disks = Object.entries(folders).map(([folder, path]) => ({ folder, disk: new Sampled(() => statfs(path)) }));
  const watch = (name: string, help: string, blocks: 'bavail' | 'blocks') =>
    new Gauge({
      name,
      help,
      labelNames: ['folder'] as const,
      registers: [registry],
      async collect() {
        const readings = await Promise.all(disks.map(async ({ folder, disk }) => [folder, await disk.get()] as const));
        this.reset();
        for (const [folder, stats] of readings)
          if (stats !== undefined) this.set({ folder }, stats[blocks] * stats.bsize);
      },
    });
  watch('onespace_disk_free_bytes', 'Free space of the disk of a folder: data, log.', 'bavail');
  watch('onespace_disk_size_bytes', 'Size of the disk of a folder: data, log.', 'blocks');
}

/** GPU memory and utilisation; absent without a GPU, and while its driver does not answer. */
function watchGpus(registry: Registry): void {
  const gpus = new Sampled(readGpus);
  const watch = (name: string, help: string, value: (reading: GpuReading) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['gpu'] as const,
      registers: [registry],
      async collect() {
        const readings = (await gpus.get()) ?? [];
        this.reset();
        for (const reading of readings) this.set({ gpu: reading.gpu }, value(reading));
      },
    });
  watch('onespace_gpu_memory_used_bytes', 'GPU memory that all processes use.', ({ usedBytes }) => usedBytes);
  watch('onespace_gpu_memory_total_bytes', 'Total memory of the GPU.', ({ totalBytes }) => totalBytes);
  watch('onespace_gpu_busy_ratio', 'GPU utilisation, 0 to 1.', ({ busyRatio }) => busyRatio);
}
