import { MAX_SIDECAR_BYTES, sidecarNames } from '../media/facts/sidecar.js';
import type { FoundFile } from '../media/find-files.js';

/**
 * Which of the files of a folder say more of another one, as `readSidecars` finds them on the disk.
 * @param sidecars every file that may
 * @returns a function of the name of a file in the folder
 */
export function sidecarFinder(sidecars: readonly FoundFile[]): (name: string) => FoundFile[] {
  if (sidecars.length === 0) return () => [];
  const byName = new Map(sidecars.map((file) => [file.name, file]));
  return (name) => {
    const start = name.lastIndexOf('/') + 1;
    const { xmp, takeout } = sidecarNames(name.slice(start));
    return [xmp, takeout].flatMap((names) => {
      const files = names.flatMap((one) => byName.get(name.slice(0, start) + one) ?? []);
      return files.filter(({ bytes }) => bytes <= MAX_SIDECAR_BYTES).slice(0, 1);
    });
  };
}
