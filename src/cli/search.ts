import type { Client } from './client.js';

interface Reply {
  results: { id: string; score: number; modal_type: string; metadata: Record<string, unknown> }[];
}

/** The nearest neighbours of a text, a line each: score, modality, id, caption. */
export async function search(
  client: Client,
  text: string,
  { topK, modality }: { topK: number; modality?: string },
): Promise<string[]> {
  const body = { text, top_k: topK, ...(modality === undefined ? {} : { modal_type: modality }) };
  const { results } = await client.post<Reply>('/retrieve', body);
  return results.map(({ id, score, modal_type, metadata }) => {
    const caption = metadata.en ?? metadata.text ?? '';
    return `${score.toFixed(3)}  ${modal_type.padEnd(5)}  ${id}  ${caption}`;
  });
}
