import { spawnSync } from 'node:child_process';

/** Makes `folder` a disk of its own with so many bytes. @returns whether this process may */
export function mountSmallDisk(folder: string, bytes: number): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]).status === 0;
}
