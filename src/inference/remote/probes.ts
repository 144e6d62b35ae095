import { Problem } from '../../common/errors.js';
import { toPng } from '../../media/encode.js';
import type { Frame } from '../../media/frame.js';
import { distinguishesRoles, type LocalManifest } from '../../models/manifest.js';
import type { Encoder, Part, Role } from '../encoder.js';

/** A kind of input that an upstream must embed as this model does before such inputs are sent to it. */
export type Capability = 'text' | 'image' | 'mixed';

/** An input whose vector differs between models, and between ways of preparing an input. */
export interface Probe {
  /** Key of its reference vector. */
  name: string;
  capability: Capability;
  role: Role;
  parts: readonly Part[];
}

/** Vectors of the probes by their names, as the model gave them on this machine. */
export type ReferenceVectors = ReadonlyMap<string, Float32Array>;

const SHORT = 'a red car in front of a house; 一只猫';
/** Longer than the limit at which some servers cut a text. */
const LONG = Array.from({ length: 24 }, (_, i) => `${i + 1} birds sit on a wire above the street and sing.`).join(' ');
/** Of one probe: a large model on a slow processor needs seconds for the long text. */
export const PROBE_TIMEOUT_MS = 60_000;
/** Side of the image, in pixels, where the model takes images of any size. */
const SIDE_MAX = 224;

/**
 * The probes of a model: texts in every role that it distinguishes, an image, and both together. Their names are keys
 * of files on disk: a probe that is renamed has no reference until the model has run here again.
 */
export async function createProbes(manifest: LocalManifest): Promise<Probe[]> {
  const image = await gradient('patch' in manifest ? manifest.image.side : Math.min(SIDE_MAX, manifest.image.max_side));
  const roles: readonly Role[] = distinguishesRoles(manifest) ? ['document', 'query'] : ['document'];
  const inputs: [Capability, string, Part[]][] = [
    ['text', 'short', [{ text: SHORT }]],
    ['text', 'long', [{ text: LONG }]],
    ['image', 'picture', [image]],
    ['mixed', 'both', [{ text: SHORT }, image]],
  ];
  return roles.flatMap((role) =>
    inputs.map(([capability, name, parts]) => ({ name: `${name} ${role}`, capability, role, parts })),
  );
}

/** The vectors of those probes that the model can embed. */
export async function encodeProbes(
  encoder: Pick<Encoder, 'encode'>,
  probes: readonly Probe[],
): Promise<ReferenceVectors> {
  const vectors = new Map<string, Float32Array>();
  for (const { name, capability, role, parts } of probes) {
    const modality = capability === 'text' ? 'text' : 'image';
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    try {
      const { vector } = await encoder.encode(parts, { modality, role, signal, record: () => {} });
      vectors.set(name, vector);
    } catch (error) {
      if (!(error instanceof Problem && error.code === 'invalid_request')) throw error;
    }
  }
  return vectors;
}

/** A square image that differs from every shifted, mirrored or recoloured copy of itself. */
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
