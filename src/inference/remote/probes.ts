import { Problem } from '../../common/errors.js';
import type { Frame } from '../../media/frame.js';
import { toPng } from '../../media/png.js';
import { distinguishesRoles, type LocalManifest } from '../../models/manifest.js';
import type { Encoder, Part, Role } from '../encoder.js';

/** What a replica must be able to embed as we do before it is asked to. */
export type Ability = 'text' | 'image' | 'mixed';

/** An input whose vector tells two models, or two ways of preparing an input, apart. */
export interface Probe {
  /** Its vector is remembered under this name. */
  name: string;
  ability: Ability;
  role: Role;
  parts: readonly Part[];
}

/** Vectors of the probes by their names, as our own model gave them. */
export type Reference = ReadonlyMap<string, Float32Array>;

const SHORT = 'a red car in front of a house; 一只猫';
/** Longer than some servers cut a text at. */
const LONG = Array.from({ length: 24 }, (_, i) => `${i + 1} birds sit on a wire above the street and sing.`).join(' ');
/** Of one of them; a model on a slow processor takes its time for the long text. */
export const PROBE_TIMEOUT_MS = 60_000;
/** Side of the picture, where the model takes pictures as they are. */
const SIDE_MAX = 224;

/** The probes of a model: texts in every role it tells apart, a picture, and both together. */
export async function probesOf(manifest: LocalManifest): Promise<Probe[]> {
  const picture = await gradient(
    'patch' in manifest ? manifest.image.side : Math.min(SIDE_MAX, manifest.image.max_side),
  );
  const roles: readonly Role[] = distinguishesRoles(manifest) ? ['document', 'query'] : ['document'];
  const inputs: [Ability, string, Part[]][] = [
    ['text', 'short', [{ text: SHORT }]],
    ['text', 'long', [{ text: LONG }]],
    ['image', 'picture', [picture]],
    ['mixed', 'both', [{ text: SHORT }, picture]],
  ];
  return roles.flatMap((role) =>
    inputs.map(([ability, name, parts]) => ({ name: `${name} ${role}`, ability, role, parts })),
  );
}

/** The vectors of the probes, of those that the model can embed. */
export async function referenceOf(encoder: Pick<Encoder, 'encode'>, probes: readonly Probe[]): Promise<Reference> {
  const reference = new Map<string, Float32Array>();
  for (const { name, ability, role, parts } of probes) {
    const modality = ability === 'text' ? 'text' : 'image';
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    try {
      const { vector } = await encoder.encode(parts, { modality, role, signal, record: () => {} });
      reference.set(name, vector);
    } catch (error) {
      if (!(error instanceof Problem && error.code === 'invalid_request')) throw error;
    }
  }
  return reference;
}

/** A picture that is not the same in any two places or channels. */
async function gradient(side: number): Promise<Part> {
  const rgb = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const light = (255 * (x + y)) / (2 * side);
      rgb.set([light, (255 * x) / side, 255 - (255 * y) / side], 3 * (y * side + x));
    }
  }
  const frame: Frame = { width: side, height: side, timeSeconds: 0, rgb };
  const bytes = await toPng(frame);
  const upload = {
    modality: 'image',
    format: 'png',
    bytes,
    size: bytes.length,
    sha256: '',
    dispose: async () => {},
  } as const;
  return { modality: 'image', frames: [frame], upload };
}
