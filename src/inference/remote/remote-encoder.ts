import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { Problem } from '../../common/errors.js';
import { innerProduct } from '../../common/vector.js';
import type { LocalManifest } from '../../models/manifest.js';
import type { EncodedInput, EncodeOptions, Encoder, Part } from '../encoder.js';
import { TargetError } from '../failover/target.js';
import type { RemoteClient } from './client.js';
import { OnespaceProtocol } from './onespace-protocol.js';
import { OpenAiProtocol } from './openai-protocol.js';
import { type Capability, createProbes, PROBE_TIMEOUT_MS, type Probe, type ReferenceVectors } from './probes.js';
import { cannotForward, type Protocol } from './protocol.js';

export interface RemoteOptions {
  client: RemoteClient;
  /** Name and revision of the model, as a onespace reports them. */
  id: string;
  manifest: LocalManifest;
  /** The name of the model at a server that is not a onespace. */
  model: string;
  /** Frames per second that this service samples. */
  videoFps: number;
  reference: ReferenceVectors;
}

/** Two vectors of one input with a smaller cosine are of different models, whatever the device and the dtype. */
const COSINE_MIN = 0.999;
/** How long a server that does not name its model counts as verified. */
const VERIFIED_FOR_MS = 60_000;

const ModelList = Type.Object({
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

/** The same model in another service. No vector of the upstream is used before the upstream is verified. */
export class RemoteEncoder implements Encoder {
  readonly device = 'replica';
  readonly isReady = true;
  private verifiedAtMs = performance.now();
  private verifying: Promise<void> | undefined;

  private constructor(
    private readonly protocol: Protocol,
    private readonly verify: () => Promise<void>,
  ) {}

  /** @throws TargetError when the upstream cannot be reached, or is not verified to run the same model */
  static async open(options: RemoteOptions): Promise<RemoteEncoder> {
    const { client, manifest, model } = options;
    const { status, body } = await client.get('/v1/models');
    if (status === 401 || status === 403) throw new TargetError('the upstream rejects the API key', `status ${status}`);
    const probes = await createProbes(manifest);
    if (Value.Check(ModelList, body)) {
      const protocol = openOnespace(body, options);
      const verify = async () => void (await verifiedCapabilities(protocol, probes, options.reference));
      await verify();
      return new RemoteEncoder(protocol, verify);
    }
    const protocol = new OpenAiProtocol(client, model, manifest);
    const verify = async () => {
      protocol.capabilities = await verifiedCapabilities(protocol, probes, options.reference);
      if (!protocol.capabilities.has('text')) {
        const detail = 'there are no reference vectors, since the model has not run here';
        throw new TargetError('the upstream cannot be verified to run the same model', detail);
      }
    };
    await verify();
    return new RemoteEncoder(protocol, verify);
  }

  async encode(parts: readonly Part[], { modality, role, record, ...call }: EncodeOptions): Promise<EncodedInput> {
    await this.keepVerified();
    const refusal = this.protocol.refusal(parts);
    if (refusal !== undefined) throw cannotForward(refusal);
    const start = performance.now();
    const encoded = await this.protocol.embed(parts, role, call);
    record('replica', modality, (performance.now() - start) / 1000);
    return encoded;
  }

  /** Closes nothing: requests in flight end on their own. */
  async close(): Promise<void> {}

  /** A server can be restarted with another model behind the same name. */
  private async keepVerified(): Promise<void> {
    if (this.protocol.repliesNameModel || performance.now() - this.verifiedAtMs < VERIFIED_FOR_MS) return;
    this.verifying ??= this.verify()
      .then(() => {
        this.verifiedAtMs = performance.now();
      })
      .finally(() => {
        this.verifying = undefined;
      });
    await this.verifying;
  }
}

function openOnespace({ data }: Static<typeof ModelList>, { client, id, manifest, videoFps }: RemoteOptions): Protocol {
  const { name, revision, dim } = manifest;
  const namesakes = data.filter((model) => model.id === name || model.id.startsWith(`${name}@`));
  const same = namesakes.find((model) => model.revision === revision && model.dimensions[0] === dim);
  if (same === undefined) {
    const has = data.map((model) => `${model.id} (revision ${model.revision})`).join(', ');
    throw new TargetError('the upstream runs another model', `it has ${has}, and not ${name} (revision ${revision})`);
  }
  return new OnespaceProtocol(client, { id, dim, takesVideo: same.limits.video_fps === videoFps });
}

/**
 * The kinds of input that the upstream embeds as this model does, by the probes that have a reference vector.
 * @throws TargetError when its vectors of texts differ, or any vector of a server that claims to run this model
 */
async function verifiedCapabilities(
  protocol: Protocol,
  probes: readonly Probe[],
  reference: ReferenceVectors,
): Promise<Set<Capability>> {
  const referenced = probes.filter(({ name }) => reference.has(name));
  const verified = new Set(referenced.map(({ capability }) => capability));
  for (const probe of referenced) {
    const own = reference.get(probe.name) as Float32Array;
    const cosine = await cosineOf(protocol, probe, own);
    if (cosine >= COSINE_MIN) continue;
    if (probe.capability === 'text' || protocol.repliesNameModel) {
      const detail = `on the probe "${probe.name}" the cosine is ${cosine.toFixed(4)}`;
      throw new TargetError('the upstream returns other vectors than this model', detail);
    }
    verified.delete(probe.capability);
  }
  return verified;
}

/** NaN for a probe that the upstream refuses. @throws when the upstream does not reply */
async function cosineOf(protocol: Protocol, probe: Probe, own: Float32Array): Promise<number> {
  try {
    const { vector } = await protocol.embed(probe.parts, probe.role, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    return innerProduct(own, vector, 0);
  } catch (error) {
    if (error instanceof Problem && error.code !== 'overloaded') return Number.NaN;
    throw error;
  }
}
