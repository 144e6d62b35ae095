import { spawnSync } from 'node:child_process';

/** Brings the build up to date once before the tests, since they run the build. */
export default function build(): void {
  const { status, stdout } = spawnSync('npm', ['run', 'build', '--silent'], { encoding: 'utf8' });
  if (status !== 0) console.error(stdout);
}
