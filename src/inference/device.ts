import { spawnSync } from 'node:child_process';

/** An execution provider of ONNX Runtime. */
export type Device = 'cpu' | 'webgpu' | 'cuda';

/** Best first. Only `auto` may fall back; a device asked for by name must work. */
const FALLBACK: readonly Device[] = ['cuda', 'webgpu', 'cpu'];

/** The devices to try, in order, for the setting `DEVICE`. */
export function devicesToTry(setting: Device | 'auto'): readonly Device[] {
  if (setting !== 'auto') return [setting];
  return hasNvidiaGpu() ? FALLBACK : ['cpu'];
}

function hasNvidiaGpu(): boolean {
  return spawnSync('nvidia-smi', ['-L'], { timeout: 5000 }).status === 0;
}
