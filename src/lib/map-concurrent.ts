/**
 * The outcomes of `task` for every input, in their order, at most `limit` of them under way at once: one
 * request with many inputs leaves room in the queue for the others.
 */
export async function settleAll<Input, Output>(
  inputs: readonly Input[],
  limit: number,
  task: (input: Input) => Promise<Output>,
): Promise<PromiseSettledResult<Output>[]> {
  const outcomes = new Array<PromiseSettledResult<Output>>(inputs.length);
  const waiting = inputs.entries();
  const work = async () => {
    for (const [place, input] of waiting) [outcomes[place]] = await Promise.allSettled([task(input)]);
  };
  await Promise.all(Array.from({ length: Math.min(limit, inputs.length) }, work));
  return outcomes;
}
