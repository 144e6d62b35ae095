import { Type } from 'typebox';
import { toPng } from '../../media/encode.js';
import type { LocalManifest } from '../../models/manifest.js';
import type { EncodedInput, MediaPart, Part, Role } from '../encoder.js';
import type { RemoteCall, RemoteClient } from './client.js';
import type { Capability } from './probes.js';
import { bodyOf, type Protocol, toVector } from './protocol.js';

const Embeddings = Type.Object({
  data: Type.Array(Type.Object({ embedding: Type.Array(Type.Number()) }), { minItems: 1, maxItems: 1 }),
  usage: Type.Optional(Type.Object({ prompt_tokens: Type.Optional(Type.Integer()) })),
});

/** Any server with OpenAI's embeddings interface; images as content parts of a message, as vLLM takes them. */
export class OpenAiProtocol implements Protocol {
  readonly repliesNameModel = false;
  /** Kinds of input whose probes gave the vectors of this model; other inputs are not sent. */
  capabilities: ReadonlySet<Capability> = new Set(['text', 'image', 'mixed']);

  /** @param model the server's name of the model */
  constructor(
    private readonly client: RemoteClient,
    private readonly model: string,
    private readonly manifest: LocalManifest,
  ) {}

  refusal(parts: readonly Part[]): string | undefined {
    if (parts.some((part) => 'modality' in part && part.modality === 'video')) return 'the upstream takes no video';
    const capability = capabilityFor(parts);
    if (capability !== undefined && this.capabilities.has(capability)) return undefined;
    return 'the upstream is not verified to embed such an input as this model does';
  }

  async embed(parts: readonly Part[], role: Role, call: RemoteCall): Promise<EncodedInput> {
    const [first, ...rest] = parts;
    const isText = first !== undefined && 'text' in first && rest.length === 0;
    const input = isText
      ? { input: [this.prompted(first.text, role)] }
      : { messages: [{ role: 'user', content: await Promise.all(parts.map(toContent)) }] };
    const body = { model: this.model, encoding_format: 'float', ...input };
    const { data, usage } = bodyOf(Embeddings, await this.client.post('/v1/embeddings', body, call));
    const vector = toVector(data[0]?.embedding ?? [], this.manifest.dim);
    return { vector, tokens: usage?.prompt_tokens ?? 0, truncated: false };
  }

  /** The text in the model's prompt: such servers add none. */
  private prompted(text: string, role: Role): string {
    if (!('prompts' in this.manifest)) return text;
    return this.manifest.prompts[role].replace('{text}', () => text);
  }
}

/** The capability that an input needs; undefined for an input that no probe resembles. */
function capabilityFor(parts: readonly Part[]): Capability | undefined {
  const kinds = parts.map((part) => ('text' in part ? 'text' : part.modality)).join(' ');
  if (kinds === 'text' || kinds === 'image') return kinds;
  return kinds === 'text image' ? 'mixed' : undefined;
}

async function toContent(part: Part): Promise<object> {
  if ('text' in part) return { type: 'text', text: part.text };
  return { type: 'image_url', image_url: { url: await dataUrl(part) } };
}

async function dataUrl({ frames: [frame] }: MediaPart): Promise<string> {
  if (frame === undefined) throw new Error('An image has no frame.');
  return `data:image/png;base64,${(await toPng(frame)).toString('base64')}`;
}
