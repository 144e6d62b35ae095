import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../../deploy/setup.mjs', import.meta.url));

/**
 * Provides what a package from npm may come without: packages whose install scripts failed or did not run, the FAISS
 * binding and ffmpeg. Takes a tenth of a second when nothing is missing. Ends the process when something cannot be
 * provided; the script has then printed the command to run.
 */
export function provideNatives(): void {
  // A container image is complete and comes without the script.
  if (!existsSync(SCRIPT)) return;
  const args = [SCRIPT, 'natives', 'faiss', 'ffmpeg'];
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}
