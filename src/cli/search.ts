import { type Connection, type Query, retrieve } from '../client/index.js';

/** The nearest neighbours of a text, a line each: score, modality, id, caption. */
export async function search(
  to: Connection,
  text: string,
  { topK, modality }: { topK: number; modality?: string },
): Promise<string[]> {
  // The service says which modalities there are.
  const kind = modality === undefined ? {} : { modal_type: modality as NonNullable<Query['modal_type']> };
  const hits = await retrieve(to, { text, top_k: topK, ...kind });
  return hits.map(({ id, score, modal_type, metadata }) => {
    const caption = metadata?.en ?? metadata?.text ?? '';
    return `${score.toFixed(3)}  ${modal_type.padEnd(5)}  ${id}  ${caption}`;
  });
}
