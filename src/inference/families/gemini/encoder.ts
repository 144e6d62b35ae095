import { readFile } from 'node:fs/promises';
import type { Part as GeminiPart, GoogleGenAI } from '@google/genai';
import { clientClosed, Problem } from '../../../common/errors.js';
import { toUnitVector } from '../../../common/vector.js';
import type { Config } from '../../../config.js';
import { retry } from '../../../lib/async/retry.js';
import { toJpeg } from '../../../media/encode.js';
import type { GeminiManifest } from '../../../models/manifest.js';
import type { EncodedInput, EncodeOptions, Encoder, MediaPart, Part, Role } from '../../encoder.js';
import { failureOf } from './errors.js';

/** Attempts at one input, and the delays between them. */
const RETRY = { attempts: 3, firstMs: 250, maxMs: 1_000 };
/** Of one attempt: the API reads a video of two minutes within it. */
const TIMEOUT_MS = 60_000;
/** The data of one request, in base64 (https://ai.google.dev/gemini-api/docs/file-input-methods, "Inline data"). */
const INLINE_BYTES_MAX = 100e6;
/** Containers that the model reads (https://ai.google.dev/gemini-api/docs/embeddings#multimodal). */
const VIDEO_TYPES: Record<string, string> = { mp4: 'video/mp4', mov: 'video/quicktime' };

export interface GeminiOptions {
  apiKey: string;
  /** Address of the API. */
  url: string;
  /** Inputs being embedded at once; more are refused with `overloaded`. */
  inFlightMax: number;
  /** Of one attempt. Default: 60 s. */
  timeoutMs?: number;
  /** Upper bound of the delay after the first failure. Default: 250 ms. */
  firstWaitMs?: number;
}

/** Opens a model of the Gemini API by the settings of the service. @throws Error without a key */
export const openGemini = (
  manifest: GeminiManifest,
  { GEMINI_API_KEY: apiKey, GEMINI_URL: url, MAX_QUEUE: inFlightMax }: Config,
): Promise<Encoder> => GeminiEncoder.open(manifest, { apiKey, url, inFlightMax });

/**
 * A model of the Gemini API: the parts of an input are sent to Google, which returns one vector. The first text is
 * put into the prompt of its role, since the model has no task types; an image is sent as JPEG, a video as the file
 * that was uploaded.
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
    // Imported here, so that a service without such a model does not load the SDK.
    const { GoogleGenAI } = await import('@google/genai');
    const client = new GoogleGenAI({ apiKey, vertexai: false, httpOptions: { baseUrl: url, timeout: timeoutMs } });
    return new GeminiEncoder(manifest, client, options);
  }

  get isReady(): boolean {
    return !this.#closed;
  }

  async encode(parts: readonly Part[], { modality, role, signal, record }: EncodeOptions): Promise<EncodedInput> {
    if (this.#closed) throw new Problem('shutting_down', 'The service is shutting down.');
    if (this.#inFlight >= this.options.inFlightMax)
      throw new Problem(
        'overloaded',
        `${this.#inFlight} inputs are being embedded by the Gemini API already. Try again later.`,
        { retry_after_seconds: 1 },
      );
    this.#inFlight += 1;
    try {
      const start = performance.now();
      const content = await this.#contentOf(parts, role);
      record('serialise', modality, (performance.now() - start) / 1000);
      const sent = performance.now();
      const vector = await this.#embed(content, signal);
      record('inference', modality, (performance.now() - sent) / 1000);
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
        `The files are ${bytes} bytes as base64; the Gemini API takes ${INLINE_BYTES_MAX}. Send smaller files.`,
        { limit_bytes: INLINE_BYTES_MAX },
      );
    return content;
  }

  async #embed(parts: GeminiPart[], signal: AbortSignal): Promise<Float32Array> {
    const { api_model: model, dim } = this.manifest;
    const { firstWaitMs: firstMs = RETRY.firstMs } = this.options;
    const attempt = async () => {
      const config = { outputDimensionality: dim, abortSignal: signal };
      const { embeddings } = await this.client.models.embedContent({ model, contents: [{ parts }], config });
      return unitVector(embeddings?.length === 1 ? embeddings[0]?.values : undefined, dim);
    };
    const shouldRetry = (error: unknown) => failureOf(error).isTransient;
    try {
      return await retry(attempt, { ...RETRY, firstMs, shouldRetry, signal });
    } catch (error) {
      throw signal.aborted ? clientClosed() : failureOf(error).problem;
    }
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

/** Vectors that the API shortened do not have norm 1. */
function unitVector(values: number[] | undefined, dim: number): Float32Array {
  if (values?.length === dim) return toUnitVector(values, dim);
  const detail = `The Gemini API returned ${values?.length ?? 'no'} numbers instead of ${dim}.`;
  throw new Problem('model_unavailable', detail);
}
