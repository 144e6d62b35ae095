import { Command } from 'commander';
import { type Connection, type Query, retrieve } from '../client/index.js';
import { connectionOf } from './connection.js';

interface SearchOptions {
  topK: number;
  modality?: string;
}

export const command = new Command('search')
  .description('find the stored items that are closest to a text; prints score, modality, id and caption of each')
  .argument('<text>', 'what to search for, in words')
  .option('-k, --top-k <number>', 'number of results', Number, 5)
  .option('-m, --modality <modality>', 'only text, image or video')
  .action(async (text: string, options: SearchOptions, self: Command) => {
    for (const line of await search(connectionOf(self), text, options)) console.log(line);
  });

/** The nearest neighbours of a text, one line each. */
async function search(to: Connection, text: string, { topK, modality }: SearchOptions): Promise<string[]> {
  // An unknown modality is refused by the service, which names those that exist.
  const kind = modality === undefined ? {} : { modal_type: modality as NonNullable<Query['modal_type']> };
  const hits = await retrieve(to, { text, top_k: topK, ...kind });
  return hits.map(({ id, score, modal_type, metadata }) => {
    const caption = metadata?.en ?? metadata?.text ?? '';
    return `${score.toFixed(3)}  ${modal_type.padEnd(5)}  ${id}  ${caption}`;
  });
}
