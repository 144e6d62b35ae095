import { createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { streamOf } from '../../client/http.js';
import { type Connection, health } from '../../client/index.js';
import { totalOf } from '../../common/modality.js';
import { exportLines } from '../../store/export-import.js';
import { connectionOf, namesService } from '../connection.js';
import { ProgressBar } from '../progress-bar.js';
import { withOwnStore } from './own-store.js';

const NEWLINE = 0x0a;

export const command = new Command('export')
  .description('write every stored item to a file as JSON Lines: of a running service with --url, else on its own')
  .argument('<file>', 'file to write; an existing one is replaced')
  .action(async (file: string, _options: object, self: Command) => {
    const exported = namesService(self) ? exportService(connectionOf(self), file) : exportStore(file);
    console.log(`${await exported} exported`);
  });

/** @returns how many items were written */
const exportStore = (file: string): Promise<number> =>
  withOwnStore(async (store) => write(Readable.from(exportLines(store)), totalOf(await store.count()), file));

async function exportService(from: Connection, file: string): Promise<number> {
  // A model that cannot embed is no reason not to export; then the total is unknown.
  const { index } = await health(from).catch(() => ({ index: { size: 0 } }));
  return write(Readable.from(await streamOf(from, '/export')), index.size ?? 0, file);
}

/** Writes lines and counts them. @throws Error when they are cut off */
async function write(lines: Readable, total: number, file: string): Promise<number> {
  const bar = new ProgressBar('exporting', total);
  let items = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      let ends = 0;
      for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) ends += 1;
      items += ends;
      bar.advance(ends);
      done(null, chunk);
    },
  });
  await pipeline(lines, counted, createWriteStream(file));
  return items;
}
