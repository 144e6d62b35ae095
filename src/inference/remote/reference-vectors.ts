import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { writeFileAtomically } from '../../lib/fs.js';
import type { Reference } from './probes.js';

const Stored = Type.Record(Type.String(), Type.Array(Type.Number()));

/** Keeps on disk what the probes' vectors were when the model last ran here, for the day on which it does not. */
export class ReferenceFile {
  private readonly file: string;

  /** @param id name and revision of the model */
  constructor(
    private readonly folder: string,
    id: string,
  ) {
    this.file = path.join(folder, `${encodeURIComponent(id)}.json`);
  }

  async write(reference: Reference): Promise<void> {
    const stored: Static<typeof Stored> = Object.fromEntries(
      [...reference].map(([name, vector]) => [name, Array.from(vector)]),
    );
    await mkdir(this.folder, { recursive: true });
    await writeFileAtomically(this.file, JSON.stringify(stored));
  }

  /** Empty where the model has never run here. */
  async read(): Promise<Reference> {
    const text = await readFile(this.file, 'utf8').catch(() => '{}');
    const stored: unknown = JSON.parse(text);
    if (!Value.Check(Stored, stored)) return new Map();
    return new Map(Object.entries(stored).map(([name, numbers]) => [name, Float32Array.from(numbers)]));
  }
}
