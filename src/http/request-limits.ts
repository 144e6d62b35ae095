import type { FastifyRequest } from 'fastify';
import type { Config } from '../config.js';
import { type ModelManifest, maxSequenceTokens } from '../models/manifest.js';
import { LIMITS as INDEX } from '../store/limits.js';

/** Most parts of one input. */
export const MAX_PARTS = 16;
/** Most inputs of one request to /embed/text. */
export const MAX_INPUTS = 256;
/** Most items that one request may store. */
export const MAX_ITEMS = INDEX.itemsPerUpsert;
export const MAX_DELETED_IDS = INDEX.idsPerDelete;
/** Most inputs of one request to /v1/embeddings; OpenAI allows as many. */
export const MAX_OPENAI_INPUTS = 2048;
export const MAX_FORM_FIELDS = 64;
export const MAX_FORM_FIELD_BYTES = 1_000_000;
export const MAX_TEXT_CHARACTERS = 1_000_000;
export const MAX_RESULTS = INDEX.k;
/** Most exports under way; each holds up to 64 items in memory. */
export const MAX_EXPORTS = 4;

/** Most bytes of a body: of files that are to be stored, videos go to the disk and may be large. */
export const maxBodyBytes = ({ server, routeOptions }: FastifyRequest): number =>
  1e6 * (routeOptions.config?.stores ? storedMB(server.service.config) : server.service.config.MAX_UPLOAD_MB);

/** Largest video that may be sent to be stored: never less than what may be embedded. */
export const storedMB = ({ MAX_UPLOAD_MB, MAX_STORED_MB }: Config): number => Math.max(MAX_UPLOAD_MB, MAX_STORED_MB);

/** Every limit of a request, for clients to read. */
export function limitsOf(config: Config, manifest: ModelManifest) {
  return {
    text_characters: MAX_TEXT_CHARACTERS,
    text_tokens: manifest.text.max_tokens,
    sequence_tokens: maxSequenceTokens(manifest),
    image_pixels: config.MAX_IMAGE_PIXELS,
    video_seconds: config.MAX_VIDEO_SECONDS,
    video_fps: config.VIDEO_FPS,
    video_frames: manifest.video.max_frames,
    decode_seconds: config.MAX_DECODE_SECONDS,
    upload_bytes: config.MAX_UPLOAD_MB * 1e6,
    stored_video_bytes: storedMB(config) * 1e6,
    stored_video_seconds: Math.max(config.MAX_VIDEO_SECONDS, config.MAX_STORED_SECONDS),
    json_bytes: config.MAX_JSON_MB * 1e6,
    parts_per_input: MAX_PARTS,
    inputs_per_request: MAX_INPUTS,
    items_per_request: MAX_ITEMS,
    openai_inputs_per_request: MAX_OPENAI_INPUTS,
    results_per_search: MAX_RESULTS,
    metadata_bytes: INDEX.metadataBytes,
    batch_size: config.MAX_BATCH_SIZE,
    batch_tokens: config.MAX_BATCH_TOKENS,
    queue: config.MAX_QUEUE,
  };
}
