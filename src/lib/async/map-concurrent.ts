/**
 * Maps with bounded concurrency: runs `task` on every input, at most `limit` at a time, so that one request with many
 * inputs leaves room for others.
 * @returns the outcomes in the order of the inputs; a failed task does not stop the others
 */
export async function mapConcurrent<Input, Output>(
  inputs: readonly Input[],
  limit: number,
  task: (input: Input) => Promise<Output>,
): Promise<PromiseSettledResult<Output>[]> {
  const outcomes = new Array<PromiseSettledResult<Output>>(inputs.length);
  const remaining = inputs.entries();
  const work = async () => {
    for (const [index, input] of remaining) [outcomes[index]] = await Promise.allSettled([task(input)]);
  };
  await Promise.all(Array.from({ length: Math.min(limit, inputs.length) }, work));
  return outcomes;
}
