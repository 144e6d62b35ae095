import type { Encoder } from '../encoder.js';
import type { UpstreamTarget } from '../failover/failover-encoder.js';
import { createProbes, encodeProbes } from './probes.js';
import { ReferenceFile } from './reference-vectors.js';
import { RemoteEncoder, type RemoteOptions } from './remote-encoder.js';

export interface RemoteTargetOptions extends Omit<RemoteOptions, 'reference'> {
  /** Folder of the reference vectors. */
  folder: string;
}

/** The same model in another service: the last target of a failover chain. */
export class RemoteTarget implements UpstreamTarget {
  readonly device = 'replica';
  private readonly file: ReferenceFile;

  constructor(private readonly options: RemoteTargetOptions) {
    this.file = new ReferenceFile(options.folder, options.id);
  }

  /** @throws TargetError when the upstream cannot be reached, or is not verified to run the same model */
  async open(): Promise<Encoder> {
    return RemoteEncoder.open({ ...this.options, reference: await this.file.read() });
  }

  /** Stores the vectors of the probes, from an encoder that runs the model here. */
  async recordReference(encoder: Pick<Encoder, 'encode'>): Promise<void> {
    await this.file.write(await encodeProbes(encoder, await createProbes(this.options.manifest)));
  }
}
