/**
 * States what must hold. A failure is a defect of ours or of the disk, never of the caller.
 * @throws Error `index: <what>`
 */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`index: ${what}`);
}
