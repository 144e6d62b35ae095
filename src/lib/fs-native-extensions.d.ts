declare module 'fs-native-extensions' {
  /**
   * Locks a file for this open file description, without waiting. The kernel releases the lock when the last descriptor
   * of it is closed, above all when the process ends.
   * @returns false when another open file description holds it
   * @throws the error of the system
   */
  export function tryLock(fd: number): boolean;
}
