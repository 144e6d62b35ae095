import type { Encoder } from '../encoder.js';
import type { Place } from '../failover/target.js';
import { probesOf, referenceOf } from './probes.js';
import { ReferenceFile } from './reference-vectors.js';
import { ReplicaEncoder, type ReplicaOptions } from './remote-encoder.js';

export interface ReplicaPlaceOptions extends Omit<ReplicaOptions, 'reference'> {
  /** Where to remember by what the model is known again. */
  folder: string;
}

/** The same model elsewhere, as the last place where it can run. */
export class ReplicaPlace implements Place {
  readonly device = 'replica';
  private readonly file: ReferenceFile;

  constructor(private readonly options: ReplicaPlaceOptions) {
    this.file = new ReferenceFile(options.folder, options.id);
  }

  async open(): Promise<Encoder> {
    return ReplicaEncoder.open({ ...this.options, reference: await this.file.read() });
  }

  /** Remembers what the model's own vectors are, of one that runs here. */
  async learn(encoder: Pick<Encoder, 'encode'>): Promise<void> {
    await this.file.write(await referenceOf(encoder, await probesOf(this.options.manifest)));
  }
}
