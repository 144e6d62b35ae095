/**
 * Asserts an invariant of the index. A failure is a defect of the code or of the disk, never of a request.
 * @param violation what is the case when the condition does not hold
 * @throws Error `index: <violation>`
 */
export function assert(condition: boolean, violation: string): asserts condition {
  if (!condition) throw new Error(`index: ${violation}`);
}
