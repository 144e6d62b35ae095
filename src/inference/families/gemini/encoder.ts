import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Part as GeminiPart, GoogleGenAI } from '@google/genai';
import { clientClosed, Problem } from '../../../common/errors.js';
import { toUnitVector } from '../../../common/vector.js';
import { toJpeg } from '../../../media/encode.js';
import type { GeminiManifest } from '../../../models/manifest.js';
import type { EncodedInput, EncodeOptions, Encoder, MediaPart, Part, Role } from '../../encoder.js';
import { failureOf, type GeminiFailure } from './errors.js';

/** Attempts at one input; what may pass is tried again after a moment. */
const ATTEMPTS_MAX = 3;
const FIRST_WAIT_MS = 250;
/** One attempt may take this long: a clip of two minutes is read in it. */
const TIMEOUT_MS = 60_000;
/** The data of one request, in base64 (https://ai.google.dev/gemini-api/docs/file-input-methods, "Inline data"). */
const INLINE_BYTES_MAX = 100e6;
/** Containers that the model reads (https://ai.google.dev/gemini-api/docs/embeddings#multimodal). */
const VIDEO_TYPES: Record<string, string> = { mp4: 'video/mp4', mov: 'video/quicktime' };

export interface GeminiOptions {
  apiKey: string;
  /** Where the interface is. */
  url: string;
  /** Inputs under way; more are refused. */
  inFlightMax: number;
  timeoutMs?: number;
  firstWaitMs?: number;
}

/**
 * A model of the Gemini API: every part of an input goes to Google, one vector comes back. Text takes the prompt of
 * its role, as the model has no task types; pictures go as JPEG, clips as the file that came.
 */
export class GeminiEncoder implements Encoder {
  readonly device = 'gemini-api';
  #inFlight = 0;
  #closed = false;

  private constructor(
    private readonly manifest: GeminiManifest,
    private readonly client: GoogleGenAI,
    private readonly options: GeminiOptions,
  ) {}

  /** @throws Error without a key */
  static async open(manifest: GeminiManifest, options: GeminiOptions): Promise<GeminiEncoder> {
    const { apiKey, url, timeoutMs = TIMEOUT_MS } = options;
    if (apiKey === '')
      throw new Error(
        `The model ${manifest.name} runs at Google: set GEMINI_API_KEY to a key of https://aistudio.google.com/apikey. What is embedded goes there.`,
      );
    // Only who uses it loads it.
    const { GoogleGenAI } = await import('@google/genai');
    const client = new GoogleGenAI({ apiKey, vertexai: false, httpOptions: { baseUrl: url, timeout: timeoutMs } });
    return new GeminiEncoder(manifest, client, options);
  }

  get isReady(): boolean {
    return !this.#closed;
  }

  async encode(parts: readonly Part[], { modality, role, signal, record }: EncodeOptions): Promise<EncodedInput> {
    if (this.#closed) throw new Problem('shutting_down', 'The model is being closed.');
    if (this.#inFlight >= this.options.inFlightMax)
      throw new Problem('overloaded', 'Too many inputs are under way to the model.', { retry_after_seconds: 1 });
    this.#inFlight += 1;
    try {
      const start = performance.now();
      const content = await this.#contentOf(parts, role);
      record('serialise', modality, (performance.now() - start) / 1000);
      const asked = performance.now();
      const vector = await this.#embed(content, signal);
      record('inference', modality, (performance.now() - asked) / 1000);
      return { vector, tokens: 0, truncated: false };
    } finally {
      this.#inFlight -= 1;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async #contentOf(parts: readonly Part[], role: Role): Promise<GeminiPart[]> {
    const isEmpty = parts.every((part) => 'text' in part && part.text.trim() === '');
    if (isEmpty) throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
    const content: GeminiPart[] = [];
    const firstText = parts.find((part) => 'text' in part);
    for (const part of parts) {
      if (part === firstText)
        content.push({ text: this.manifest.prompts[role].replace('{text}', () => firstText.text) });
      else content.push('text' in part ? part : await inlineOf(part));
    }
    const bytes = content.reduce((sum, { inlineData }) => sum + (inlineData?.data?.length ?? 0), 0);
    if (bytes > INLINE_BYTES_MAX)
      throw new Problem(
        'too_large',
        `The files come to ${bytes} bytes as base64; the model takes ${INLINE_BYTES_MAX}.`,
        {
          limit_bytes: INLINE_BYTES_MAX,
        },
      );
    return content;
  }

  async #embed(parts: GeminiPart[], signal: AbortSignal): Promise<Float32Array> {
    const { api_model: model, dim } = this.manifest;
    for (let attempt = 1; ; attempt++) {
      try {
        const config = { outputDimensionality: dim, abortSignal: signal };
        const { embeddings } = await this.client.models.embedContent({ model, contents: [{ parts }], config });
        return unitVector(embeddings?.length === 1 ? embeddings[0]?.values : undefined, dim);
      } catch (error) {
        if (signal.aborted) throw clientClosed();
        const failure: GeminiFailure = failureOf(error);
        if (!failure.isPassing || attempt === ATTEMPTS_MAX) throw failure.problem;
      }
      await this.#wait(attempt, signal);
    }
  }

  /** Longer each time, and never the same for two callers. */
  async #wait(attempt: number, signal: AbortSignal): Promise<void> {
    const { firstWaitMs = FIRST_WAIT_MS } = this.options;
    const waitMs = firstWaitMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
    await sleep(waitMs, undefined, { signal }).catch(() => {
      throw clientClosed();
    });
  }
}

async function inlineOf({ modality, frames, upload }: MediaPart): Promise<GeminiPart> {
  const [frame] = frames;
  if (modality === 'image' && frame !== undefined)
    return { inlineData: { mimeType: 'image/jpeg', data: (await toJpeg(frame)).toString('base64') } };
  const mimeType = VIDEO_TYPES[upload.format];
  if (mimeType === undefined || !('path' in upload))
    throw new Problem('unsupported_media', `This model takes video as MP4 or MOV, not as ${upload.format}.`, {
      received: upload.format,
    });
  return { inlineData: { mimeType, data: await readFile(upload.path, 'base64') } };
}

/** Vectors that the service shortened have lost their norm. */
function unitVector(values: number[] | undefined, dim: number): Float32Array {
  if (values?.length === dim) return toUnitVector(values, dim);
  const detail = `The Gemini API answered with ${values?.length ?? 'no'} numbers instead of ${dim}.`;
  throw new Problem('model_unavailable', detail);
}
