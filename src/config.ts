import { availableParallelism } from 'node:os';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { DTYPES } from './common/dtype.js';
import { APPROXIMATIONS } from './store/faiss/ann/index-kind.js';

const integer = (value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum, maximum, description });
const text = (value: string, description: string) => Type.String({ default: value, description });

/** Every setting of the service: an environment variable each. */
export const Settings = Type.Object({
  HOST: text('127.0.0.1', 'Address to listen on; 0.0.0.0 for every interface.'),
  PORT: integer(8000, 0, 65535, 'Port to listen on; 0 picks a free one.'),
  DATA_DIR: text('./data', 'Folder of the index and of temporary files.'),
  MODEL: text('onespace-mini', 'A folder under models/, or a path to one.'),
  MODELS: text('', 'Several of them, separated by commas, instead of MODEL; requests that name none get the first.'),
  MODELS_DIR: Type.String({
    default: '',
    'x-default': "the package's own `models/`",
    description: 'Folder for the files of models that `onespace models pull` brings.',
  }),
  HF_ENDPOINT: text('https://huggingface.co', 'The model hub, or a mirror of it.'),
  HF_TOKEN: text('', 'A token of the hub, for repositories that ask for one; it goes to HF_ENDPOINT alone.'),
  HF_HUB_OFFLINE: Type.Boolean({ default: false, description: 'Whether the hub is not to be asked for anything.' }),
  GEMINI_API_KEY: text('', 'Key for models that run at the Gemini API; what they embed is sent to Google.'),
  GEMINI_URL: text('https://generativelanguage.googleapis.com', 'Where that interface is.'),
  DEVICE: Type.Enum(['auto', 'cpu', 'webgpu', 'cuda'], {
    default: 'auto',
    description: 'Where the model runs; auto takes the best one that works, and the next when that fails.',
  }),
  DTYPE: Type.Enum([...DTYPES], {
    default: 'fp32',
    description:
      'Arithmetic of the model, as it offers: exact, or in fewer bits (less memory, last digits differ). The bundled one has fp32 and q8, EmbeddingGemma 2 has fp32, q8 and q4.',
  }),
  ENCODER_WORKERS: integer(
    1,
    1,
    64,
    'Threads that each own a session of a model; several models share them, one each at least.',
  ),
  ENCODER_THREADS: Type.Integer({
    default: availableParallelism(),
    'x-default': 'all cores',
    minimum: 1,
    maximum: 256,
    description: 'CPU threads within one session.',
  }),
  FALLBACK_RETRY_SECONDS: integer(60, 1, 3600, 'Longest pause before a device or replica that failed is tried again.'),
  REPLICA_URL: text(
    '',
    'Another service with the same model (onespace, vLLM ...), for when it runs on no device here.',
  ),
  REPLICA_API_KEY: text('', 'Key for REPLICA_URL.'),
  REPLICA_MODEL: text('', 'By which name a replica that is not a onespace knows the model, where it is another name.'),
  REPLICA_TIMEOUT_SECONDS: integer(20, 1, 600, 'Longest time the replica may take for an input.'),
  STORE: Type.Enum(['faiss', 'chroma'], {
    default: 'faiss',
    description: 'Where vectors are kept: embedded, or on a Chroma server that replicas share.',
  }),
  CHROMA_URL: text('http://127.0.0.1:8001', 'The Chroma server, for STORE=chroma.'),
  INDEX: Type.Enum(['flat', ...APPROXIMATIONS], {
    default: 'flat',
    description: 'How FAISS searches 10,000 vectors and more: exactly (flat), or sooner or smaller (hnsw, sq8, pca).',
  }),
  KEEP_ORIGINALS: Type.Boolean({
    default: false,
    description:
      'Whether the texts and files that items are made from are kept beside the index (STORE=faiss), for "onespace reindex".',
  }),
  API_KEYS: text('', 'Keys that let callers in, separated by commas; ":read" after a key makes it read-only.'),
  ALLOW_ANONYMOUS: Type.Boolean({
    default: false,
    description:
      'Whether other machines may call without a key; needed when HOST is not loopback and there are no keys.',
  }),
  RATE_LIMIT: integer(0, 0, 1_000_000, 'Requests a minute for each key, or each address without keys; 0 for no limit.'),
  TRUST_PROXY: text('', 'Addresses of proxies whose X-Forwarded-For is believed, separated by commas.'),
  ADMIN_PORT: integer(
    0,
    0,
    65535,
    'Port of its own for /health and /metrics, without keys, and for rollouts; 0 leaves them on PORT.',
  ),
  CORS_ORIGINS: text('', 'Origins that browsers may call from, separated by commas; none by default.'),
  ALLOW_URL_HOSTS: text(
    '',
    'Hosts from which URLs in JSON are fetched, separated by commas: img.example.com, *.example.org.',
  ),
  MAX_FETCH_SECONDS: integer(20, 1, 600, 'Longest time that fetching one URL may take.'),
  MAX_UPLOAD_MB: integer(64, 1, 4096, 'Largest file or body accepted, in MB (10^6 bytes).'),
  MAX_JSON_MB: integer(16, 1, 512, 'Largest JSON body accepted, in MB; pictures in it count as base64.'),
  MAX_IMAGE_PIXELS: integer(100_000_000, 1, 1_000_000_000, 'Most pixels of a picture, or of one video frame.'),
  MAX_VIDEO_SECONDS: integer(600, 1, 86_400, 'Longest video accepted, in seconds.'),
  MAX_DECODE_SECONDS: integer(60, 1, 3600, 'Longest time one file may take to decode, in seconds.'),
  VIDEO_FPS: Type.Number({
    default: 1,
    exclusiveMinimum: 0,
    maximum: 60,
    description: 'Frames sampled per second of video.',
  }),
  HEADERS_TIMEOUT_SECONDS: integer(15, 1, 600, 'Longest time the headers of a request may take to arrive.'),
  REQUEST_TIMEOUT_SECONDS: integer(300, 1, 86_400, 'Longest time a whole request may take to arrive.'),
  KEEP_ALIVE_SECONDS: integer(
    72,
    1,
    3600,
    'How long an idle connection is kept; longer than the load balancer keeps it.',
  ),
  SLOW_BODY_SECONDS: integer(20, 1, 600, 'A body that brings less than 1 kB/s for this long is given up.'),
  MAX_QUEUE: integer(512, 1, 100_000, 'Requests waiting for the model before new ones get 503.'),
  MAX_INFLIGHT_MB: integer(512, 1, 1_000_000, 'Bodies of all requests under way, in MB, before new ones get 503.'),
  MAX_BATCH_TOKENS: integer(1024, 64, 1_000_000, 'Tokens of one batch, padding counted.'),
  MAX_BATCH_SIZE: integer(64, 1, 4096, 'Inputs of one batch.'),
  CACHE_MB: integer(64, 0, 100_000, 'Memory for embeddings of inputs seen before, in MB; 0 turns the cache off.'),
  CACHE_DISK_MB: integer(256, 0, 1_000_000, 'Disk for the same, which outlives a restart, in MB; 0 turns it off.'),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
    description: 'Least important log lines to write.',
  }),
});

export type Config = Static<typeof Settings>;

/**
 * The settings from the environment, defaults filled in.
 * @throws Error that names every setting that is wrong and what would be right
 */
export function loadConfig(env: Record<string, string | undefined>): Config {
  const given = Object.entries(env).filter(
    ([name, value]) => name in Settings.properties && value !== undefined && value !== '',
  );
  const config = Value.Default(Settings, Value.Convert(Settings, Object.fromEntries(given)));
  const errors = Value.Errors(Settings, config);
  if (errors.length > 0) {
    const lines = errors.map(
      ({ instancePath, message }) => `  ${instancePath.slice(1)}=${env[instancePath.slice(1)]}: ${message}`,
    );
    throw new Error(`These settings are not valid:\n${[...new Set(lines)].join('\n')}`);
  }
  return config as Config;
}
