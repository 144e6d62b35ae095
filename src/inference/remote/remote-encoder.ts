import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { Problem } from '../../common/errors.js';
import { innerProduct } from '../../common/vector.js';
import type { LocalManifest } from '../../models/manifest.js';
import type { EncodedInput, EncodeOptions, Encoder, Part } from '../encoder.js';
import { PlaceError } from '../failover/target.js';
import type { ReplicaClient } from './client.js';
import { OnespaceDialect } from './onespace-protocol.js';
import { OpenAiDialect } from './openai-protocol.js';
import { type Ability, PROBE_TIMEOUT_MS, type Probe, probesOf, type Reference } from './probes.js';
import { cannotSend, type Dialect } from './protocol.js';

export interface ReplicaOptions {
  client: ReplicaClient;
  /** Name and revision of the model, as a onespace says them. */
  id: string;
  manifest: LocalManifest;
  /** By which name a server that is not a onespace knows it. */
  model: string;
  videoFps: number;
  reference: Reference;
}

/** Below this cosine two vectors are not of one model, whatever the device and the arithmetic. */
const COSINE_MIN = 0.999;
const PROOF_FRESH_MS = 60_000;

const Cards = Type.Object({
  data: Type.Array(
    Type.Object({
      id: Type.String(),
      owned_by: Type.Literal('onespace'),
      revision: Type.String(),
      dimensions: Type.Array(Type.Integer()),
      limits: Type.Object({ video_fps: Type.Optional(Type.Number()) }),
    }),
  ),
});

/** The same model in another service. Nothing of it is used before it has proven to be the same. */
export class ReplicaEncoder implements Encoder {
  readonly device = 'replica';
  readonly isReady = true;
  private provenAtMs = performance.now();
  private proving: Promise<void> | undefined;

  private constructor(
    private readonly dialect: Dialect,
    private readonly prove: () => Promise<void>,
  ) {}

  /** @throws PlaceError when it cannot be asked, or is not the same model */
  static async open(options: ReplicaOptions): Promise<ReplicaEncoder> {
    const { client, manifest, model } = options;
    const { status, body } = await client.get('/v1/models');
    if (status === 401 || status === 403) throw new PlaceError('the replica refuses the API key', `status ${status}`);
    const probes = await probesOf(manifest);
    if (Value.Check(Cards, body)) {
      const dialect = openOnespace(body, options);
      const prove = async () => void (await agreements(dialect, probes, options.reference));
      await prove();
      return new ReplicaEncoder(dialect, prove);
    }
    const dialect = new OpenAiDialect(client, model, manifest);
    const prove = async () => {
      dialect.abilities = await agreements(dialect, probes, options.reference);
      if (!dialect.abilities.has('text'))
        throw new PlaceError('the replica cannot be proven to run the same model', 'the model has never run here');
    };
    await prove();
    return new ReplicaEncoder(dialect, prove);
  }

  async encode(parts: readonly Part[], { modality, role, signal, record }: EncodeOptions): Promise<EncodedInput> {
    await this.stayProven();
    const refusal = this.dialect.refusal(parts);
    if (refusal !== undefined) throw cannotSend(refusal);
    const start = performance.now();
    const encoded = await this.dialect.embed(parts, role, signal);
    record('replica', modality, (performance.now() - start) / 1000);
    return encoded;
  }

  /** Requests under way end by themselves. */
  async close(): Promise<void> {}

  /** A server can be given another model while it runs. */
  private async stayProven(): Promise<void> {
    if (this.dialect.provesEachReply || performance.now() - this.provenAtMs < PROOF_FRESH_MS) return;
    this.proving ??= this.prove()
      .then(() => {
        this.provenAtMs = performance.now();
      })
      .finally(() => {
        this.proving = undefined;
      });
    await this.proving;
  }
}

function openOnespace({ data }: Static<typeof Cards>, { client, id, manifest, videoFps }: ReplicaOptions): Dialect {
  const { name, revision, dim } = manifest;
  const namesakes = data.filter((card) => card.id === name || card.id.startsWith(`${name}@`));
  const same = namesakes.find((card) => card.revision === revision && card.dimensions[0] === dim);
  if (same === undefined) {
    const has = data.map((card) => `${card.id} (revision ${card.revision})`).join(', ');
    throw new PlaceError('the replica runs another model', `it has ${has}, and not ${name} (revision ${revision})`);
  }
  return new OnespaceDialect(client, { id, dim, takesVideo: same.limits.video_fps === videoFps });
}

/**
 * What a replica embeds as we do, by the probes whose vectors are remembered.
 * @throws PlaceError when its vectors of texts are not ours
 */
async function agreements(dialect: Dialect, probes: readonly Probe[], reference: Reference): Promise<Set<Ability>> {
  const remembered = probes.filter(({ name }) => reference.has(name));
  const agreed = new Set(remembered.map(({ ability }) => ability));
  for (const probe of remembered) {
    const own = reference.get(probe.name) as Float32Array;
    const cosine = await cosineOf(dialect, probe, own);
    if (cosine >= COSINE_MIN) continue;
    if (probe.ability === 'text' || dialect.provesEachReply) {
      const detail = `on the probe "${probe.name}" the cosine is ${cosine.toFixed(4)}`;
      throw new PlaceError('the replica gives other vectors than this model', detail);
    }
    agreed.delete(probe.ability);
  }
  return agreed;
}

async function cosineOf(dialect: Dialect, probe: Probe, own: Float32Array): Promise<number> {
  try {
    const { vector } = await dialect.embed(probe.parts, probe.role, AbortSignal.timeout(PROBE_TIMEOUT_MS));
    return innerProduct(own, vector, 0);
  } catch (error) {
    // What it refuses it will not be sent; what it does not answer tells nothing of it.
    if (error instanceof Problem && error.code !== 'overloaded') return Number.NaN;
    throw error;
  }
}
