import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { writeFileAtomically } from '../../lib/fs.js';
import type { ReferenceVectors } from './probes.js';

const Stored = Type.Record(Type.String(), Type.Array(Type.Number()));

/** Keeps the reference vectors of a model on disk, for a start on which no device runs the model. */
export class ReferenceFile {
  private readonly file: string;

  /** @param id name and revision of the model */
  constructor(
    private readonly folder: string,
    id: string,
  ) {
    this.file = path.join(folder, `${encodeURIComponent(id)}.json`);
  }

  async write(vectors: ReferenceVectors): Promise<void> {
    const stored: Static<typeof Stored> = Object.fromEntries(
      [...vectors].map(([name, vector]) => [name, Array.from(vector)]),
    );
    await mkdir(this.folder, { recursive: true });
    await writeFileAtomically(this.file, JSON.stringify(stored));
  }

  /** Empty where the model has not run on this machine. */
  async read(): Promise<ReferenceVectors> {
    const text = await readFile(this.file, 'utf8').catch(() => '{}');
    const stored: unknown = JSON.parse(text);
    if (!Value.Check(Stored, stored)) return new Map();
    return new Map(Object.entries(stored).map(([name, numbers]) => [name, Float32Array.from(numbers)]));
  }
}
