import { Type } from 'typebox';
import { toPng } from '../../media/png.js';
import type { LocalManifest } from '../../models/manifest.js';
import type { EncodedInput, MediaPart, Part, Role } from '../encoder.js';
import type { ReplicaClient } from './client.js';
import type { Ability } from './probes.js';
import { bodyOf, type Dialect, toVector } from './protocol.js';

const Embeddings = Type.Object({
  data: Type.Array(Type.Object({ embedding: Type.Array(Type.Number()) }), { minItems: 1, maxItems: 1 }),
  usage: Type.Optional(Type.Object({ prompt_tokens: Type.Optional(Type.Integer()) })),
});

/** Any server with OpenAI's embeddings interface; pictures as content parts, which vLLM takes too. */
export class OpenAiDialect implements Dialect {
  readonly provesEachReply = false;
  /** What it has been seen to embed as we do; others are not sent. */
  abilities: ReadonlySet<Ability> = new Set(['text', 'image', 'mixed']);

  /** @param model by which name the server knows it */
  constructor(
    private readonly client: ReplicaClient,
    private readonly model: string,
    private readonly manifest: LocalManifest,
  ) {}

  refusal(parts: readonly Part[]): string | undefined {
    if (parts.some((part) => 'modality' in part && part.modality === 'video')) return 'the replica takes no clips';
    const ability = abilityFor(parts);
    if (ability !== undefined && this.abilities.has(ability)) return undefined;
    return 'the replica has not been seen to embed such an input as this model does';
  }

  async embed(parts: readonly Part[], role: Role, signal: AbortSignal): Promise<EncodedInput> {
    const [first, ...rest] = parts;
    const isText = first !== undefined && 'text' in first && rest.length === 0;
    const what = isText
      ? { input: [this.prompted(first.text, role)] }
      : { messages: [{ role: 'user', content: await Promise.all(parts.map(toContent)) }] };
    const body = { model: this.model, encoding_format: 'float', ...what };
    const { data, usage } = bodyOf(Embeddings, await this.client.post('/v1/embeddings', body, signal));
    const vector = toVector(data[0]?.embedding ?? [], this.manifest.dim);
    return { vector, tokens: usage?.prompt_tokens ?? 0, truncated: false };
  }

  /** Such servers embed a text as it comes, so the model's prompt is put around it here. */
  private prompted(text: string, role: Role): string {
    if (!('prompts' in this.manifest)) return text;
    return this.manifest.prompts[role].replace('{text}', () => text);
  }
}

/** What a server must be able to do for these parts; undefined for what no probe is like. */
function abilityFor(parts: readonly Part[]): Ability | undefined {
  const kinds = parts.map((part) => ('text' in part ? 'text' : part.modality)).join(' ');
  if (kinds === 'text' || kinds === 'image') return kinds;
  return kinds === 'text image' ? 'mixed' : undefined;
}

async function toContent(part: Part): Promise<object> {
  if ('text' in part) return { type: 'text', text: part.text };
  return { type: 'image_url', image_url: { url: await dataUrl(part) } };
}

async function dataUrl({ frames: [frame] }: MediaPart): Promise<string> {
  if (frame === undefined) throw new Error('A picture has a frame.');
  return `data:image/png;base64,${(await toPng(frame)).toString('base64')}`;
}
