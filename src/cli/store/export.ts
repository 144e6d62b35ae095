import { createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { totalOf } from '../../common/modality.js';
import { exportLines } from '../../store/export-import.js';
import { ProgressBar } from '../progress-bar.js';
import { withOwnStore } from './own-store.js';

export const command = new Command('export')
  .description('write every stored item to a file as JSON Lines (with an embedded store, stop the service first)')
  .argument('<file>', 'file to write; an existing one is replaced')
  .action(async (file: string) => console.log(`${await exportStore(file)} exported`));

/** @returns how many items were written */
async function exportStore(file: string): Promise<number> {
  return withOwnStore(async (store) => {
    const counts = await store.count();
    const total = totalOf(counts);
    const bar = new ProgressBar('exporting', total);
    const counted = new Transform({
      transform(line, _encoding, done) {
        bar.advance();
        done(null, line);
      },
    });
    await pipeline(Readable.from(exportLines(store)), counted, createWriteStream(file));
    return total;
  });
}
