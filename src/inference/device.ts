import { spawnSync } from 'node:child_process';

/** An execution provider of ONNX Runtime. */
export type Device = 'cpu' | 'webgpu' | 'cuda';

const FASTEST_FIRST: readonly Device[] = ['cuda', 'webgpu', 'cpu'];
const NVIDIA_SMI_TIMEOUT_MS = 5000;

/** The devices to try, in order, for the setting `DEVICE`: only `auto` has alternatives, a named device must work. */
export function devicesToTry(setting: Device | 'auto'): readonly Device[] {
  if (setting !== 'auto') return [setting];
  return hasNvidiaGpu() ? FASTEST_FIRST : ['cpu'];
}

function hasNvidiaGpu(): boolean {
  return spawnSync('nvidia-smi', ['-L'], { timeout: NVIDIA_SMI_TIMEOUT_MS }).status === 0;
}
