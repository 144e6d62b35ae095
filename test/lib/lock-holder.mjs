/**
 * Locks a folder and says so, or says why not; holds the lock until it is killed.
 *
 *   usage: node lock-holder.mjs <folder>
 */
import { lockDirectory } from '../../dist/src/lib/directory-lock.js';

try {
  const lock = await lockDirectory(process.argv[2]);
  process.on('SIGUSR2', () =>
    lock.assertHeld().then(
      () => console.log('still held'),
      ({ message }) => console.log(message),
    ),
  );
  setInterval(() => {}, 1000);
  console.log('held');
} catch ({ message }) {
  console.log(message);
}
