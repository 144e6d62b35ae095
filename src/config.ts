import { availableParallelism } from 'node:os';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { DTYPES } from './common/dtype.js';
import { INDEX_KINDS } from './common/index-kind.js';
import { nearName } from './lib/near-name.js';
import { secretOf } from './lib/secret.js';

const integer = (value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum, maximum, description });
const text = (value: string, description: string) => Type.String({ default: value, description });
/** A setting that may also be the content of a file, which `NAME_FILE` names. */
const secret = (description: string) => Type.String({ default: '', description, 'x-secret': true });
const flag = (description: string, { isOn = false } = {}) => Type.Boolean({ default: isOn, description });

/** Every setting of the service. Each is an environment variable; an empty one counts as not set. */
export const Settings = Type.Object({
  HOST: text('127.0.0.1', 'Address to listen on; 0.0.0.0 for all interfaces.'),
  PORT: integer(8000, 0, 65535, 'Port to listen on; 0 picks a free one.'),
  DATA_DIR: text('./data', 'Folder for indexes, the cache on disk and temporary files.'),
  BACKUP_DIR: Type.String({
    default: '',
    'x-default': '`DATA_DIR/backups`',
    description: 'Folder for backups, of this service alone; on the disk of DATA_DIR they take hardly any room.',
  }),
  MODEL: text('onespace-mini', 'Name of a folder under models/, or the path of a model folder.'),
  MODELS: text(
    '',
    'Several models, separated by commas; replaces MODEL. The first answers requests that name no model.',
  ),
  MODELS_DIR: Type.String({
    default: '',
    'x-default': "the package's own `models/`",
    description: 'Folder for the model files that `onespace models pull` downloads.',
  }),
  HF_ENDPOINT: text('https://huggingface.co', 'URL of the model hub, or of a mirror.'),
  HF_TOKEN: secret('Access token of the model hub, for gated repositories; sent to HF_ENDPOINT only.'),
  HF_HUB_OFFLINE: flag('Sends no requests to the model hub.'),
  GEMINI_API_KEY: secret('API key for models that run at the Gemini API; inputs of these models are sent to Google.'),
  GEMINI_URL: text('https://generativelanguage.googleapis.com', 'URL of the Gemini API.'),
  DEVICE: Type.Enum(['auto', 'cpu', 'webgpu', 'cuda'], {
    default: 'auto',
    description: 'Device the model runs on; auto takes the fastest that works, and the next one when it fails.',
  }),
  DTYPE: Type.Enum([...DTYPES], {
    default: 'fp32',
    description:
      'Precision of the model; fewer bits take less memory and change the last digits of a vector. onespace-mini has fp32 and q8, EmbeddingGemma 2 has fp32, q8 and q4.',
  }),
  ENCODER_WORKERS: integer(
    1,
    1,
    64,
    'Worker threads for inference, each with a session of its own; divided among the models, at least one for each.',
  ),
  ENCODER_THREADS: Type.Integer({
    default: availableParallelism(),
    'x-default': 'all cores',
    minimum: 1,
    maximum: 256,
    description: 'CPU threads of each session.',
  }),
  FALLBACK_RETRY_SECONDS: integer(
    60,
    1,
    3600,
    'Longest pause before a failed device, or the upstream of REPLICA_URL, is tried again.',
  ),
  REPLICA_URL: text(
    '',
    'URL of an upstream: another service with the same model (onespace, vLLM ...), used when the model runs on no device of this machine.',
  ),
  REPLICA_API_KEY: secret('API key for the upstream.'),
  REPLICA_MODEL: text('', 'Name of the model at an upstream that is not onespace, where it differs.'),
  REPLICA_TIMEOUT_SECONDS: integer(20, 1, 600, 'Longest time the upstream may take for one input.'),
  STORE: Type.Enum(['faiss', 'chroma'], {
    default: 'faiss',
    description: 'Vector store: embedded (faiss), or a Chroma server that several replicas of the service share.',
  }),
  CHROMA_URL: text('http://127.0.0.1:8001', 'URL of the Chroma server, for STORE=chroma.'),
  INDEX: Type.Enum(['flat', ...INDEX_KINDS], {
    default: 'flat',
    description:
      'How FAISS searches 10,000 vectors or more: exactly (flat), faster with more memory (hnsw), or in less memory (sq8, pca).',
  }),
  KEEP_ORIGINALS: flag(
    'Keeps the texts and files of items beside the index (STORE=faiss), so that "onespace reindex" can embed them again.',
  ),
  MEDIA_ROOTS: text(
    '',
    'Folders whose files requests may name instead of sending them, separated by commas: photos=/mnt/photos,clips=/srv/clips. They are only read.',
  ),
  THUMBNAILS_MB: integer(
    1000,
    10,
    1_000_000,
    'Most that thumbnails take on the disk, in MB; the least used are removed.',
  ),
  READ_FILE_FACTS: flag(
    'Reads what stored photos and videos say of themselves (when and where they were taken, camera, caption, keywords) into the metadata of their items.',
    { isOn: true },
  ),
  API_KEYS: secret(
    'API keys that callers may use, separated by commas or lines; ":read" after a key makes it read-only.',
  ),
  ALLOW_ANONYMOUS: flag(
    'Lets other machines call without a key; required when HOST is not a loopback address and API_KEYS is empty.',
  ),
  RATE_LIMIT: integer(
    0,
    0,
    1_000_000,
    'Requests per minute for each key, or for each address without keys; 0 for no limit.',
  ),
  TRUST_PROXY: text(
    '',
    'Addresses of proxies whose X-Forwarded-* headers are believed, separated by commas: 10.0.0.1, 10.0.0.0/8, loopback, uniquelocal.',
  ),
  ALLOWED_HOSTS: text(
    '',
    'Names under which the service may be called, beside IP addresses, localhost and the name of this machine, separated by commas: search.example.com, *.example.com; * for any. With API_KEYS any name is allowed until this is set.',
  ),
  ADMIN_PORT: integer(
    0,
    0,
    65535,
    'Separate port for /health and /metrics, without keys, and for /admin/rollout; 0 serves them on PORT.',
  ),
  CORS_ORIGINS: text(
    '',
    'Origins whose pages may call from a browser, separated by commas: https://app.example.com; * for any, with API_KEYS only.',
  ),
  ALLOW_URL_HOSTS: text(
    '',
    'Hosts from which the service fetches URLs in JSON, separated by commas: img.example.com, *.example.org.',
  ),
  MAX_FETCH_SECONDS: integer(20, 1, 600, 'Longest time that fetching one URL may take.'),
  MAX_STORED_MB: integer(
    25_000,
    1,
    10_000_000,
    'Largest video that is stored: of a media root (MEDIA_ROOTS), or sent to /items; in MB.',
  ),
  MAX_STORED_SECONDS: integer(21_600, 1, 604_800, 'Longest video that is stored, in seconds.'),
  MAX_UPLOAD_MB: integer(64, 1, 4096, 'Largest other file or body accepted, in MB (10^6 bytes).'),
  MAX_JSON_MB: integer(16, 1, 512, 'Largest JSON body accepted, in MB; images and videos in it count as base64.'),
  MAX_IMAGE_PIXELS: integer(100_000_000, 1, 1_000_000_000, 'Most pixels of an image or of one video frame.'),
  MAX_VIDEO_SECONDS: integer(600, 1, 86_400, 'Longest video accepted, in seconds.'),
  MAX_DECODE_SECONDS: integer(60, 1, 3600, 'Longest time that decoding one file may take, in seconds.'),
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
    'How long an idle connection stays open; set it longer than the load balancer does.',
  ),
  SLOW_BODY_SECONDS: integer(20, 1, 600, 'A body that arrives at less than 1 kB/s for this long is refused.'),
  STALLED_REPLY_SECONDS: integer(
    60,
    1,
    3600,
    'A connection whose client reads nothing of a reply for this long is cut off.',
  ),
  SHUTDOWN_DELAY_SECONDS: integer(
    0,
    0,
    3600,
    'How long a service that is told to stop still serves every request while /readyz fails; longer than the load balancer takes to notice.',
  ),
  SHUTDOWN_TIMEOUT_SECONDS: integer(
    25,
    1,
    3600,
    'Longest time after that delay for the requests under way; then the process ends with code 1.',
  ),
  MAX_QUEUE: integer(
    512,
    1,
    100_000,
    'Most unfinished requests, and most inputs that may wait for the model; further ones get 503.',
  ),
  MAX_INFLIGHT_MB: integer(
    512,
    1,
    1_000_000,
    'Most memory for the bodies of all unfinished requests, in MB; further ones get 503.',
  ),
  MAX_BATCH_TOKENS: integer(1024, 64, 1_000_000, 'Most tokens of one batch, padding included.'),
  MAX_BATCH_SIZE: integer(64, 1, 4096, 'Most inputs of one batch.'),
  CACHE_MB: integer(64, 0, 100_000, 'Memory for embeddings of earlier inputs, in MB; 0 turns this cache off.'),
  CACHE_DISK_MB: integer(
    256,
    0,
    1_000_000,
    'Disk space for embeddings of earlier inputs, kept over restarts, in MB; 0 turns this cache off.',
  ),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
    description: 'Least severe log lines to write; debug includes the requests of probes and scrapes.',
  }),
  LOG_FILE: text('', 'File to log to instead of the standard output; its name gets a number: onespace.1.log.'),
  LOG_MAX_MB: integer(100, 1, 100_000, 'Size at which a new log file begins, in MB; one also begins every day.'),
  LOG_MAX_DAYS: integer(7, 1, 3650, 'Full log files to keep; at one a day, the days that can be looked back.'),
});

export type Config = Static<typeof Settings>;

/**
 * The settings from the environment, with their defaults. Other variables are ignored.
 * @throws Error that names every invalid setting, the value received and what is allowed; or a file of a secret that
 * cannot be read
 */
export function loadConfig(env: Record<string, string | undefined>): Config {
  const given = Object.entries(Settings.properties)
    .map(([name, setting]) => [name, 'x-secret' in setting ? secretOf(env, name) : env[name]] as const)
    .filter(([, value]) => value !== undefined && value !== '');
  const config = Value.Default(Settings, Value.Convert(Settings, Object.fromEntries(given)));
  const invalid = new Set(Value.Errors(Settings, config).map(({ instancePath }) => instancePath.slice(1)));
  if (invalid.size === 0) return config as Config;
  const lines = [...invalid].map((name) => `  ${name}=${env[name]}: must be ${allowedFor(name as keyof Config)}`);
  throw new Error(`These settings are not valid:\n${lines.join('\n')}`);
}

/** Beginnings of names that hardly anything else has; HF_, CHROMA_ and LOG_ are used by others too. */
const OWN_PREFIX = /^(?:ONESPACE|MAX|CACHE|ENCODER|FALLBACK|REPLICA|MODELS|KEEP|ALLOW|RATE|ADMIN|CORS|VIDEO)_/;
/** Variables that the command line reads, or that orchestrators make for the services beside this one. */
const NOT_SETTINGS = /^ONESPACE_(?:URL|API_KEY)$|_SERVICE_(?:HOST|PORT)|_PORT(?:_\d+_(?:TCP|UDP).*)?$/;

/**
 * What in the environment looks like a misspelt setting, each as a sentence. An environment holds variables of anything,
 * so an unknown one cannot be refused. Values are not shown: they may be secrets.
 */
export function settingWarnings(env: Record<string, string | undefined>): string[] {
  const settings = Object.keys(Settings.properties);
  const unknown = Object.keys(env).filter((name) => !(name in Settings.properties) && !NOT_SETTINGS.test(name));
  return unknown.flatMap((name) => {
    const meant = nearName(
      name
        .toUpperCase()
        .replace(/^ONESPACE_/, '')
        .replaceAll('-', '_'),
      settings,
    );
    if (meant !== undefined) return [`${name} is not a setting and has no effect: did you mean ${meant}?`];
    return OWN_PREFIX.test(name) ? [`${name} is not a setting and has no effect; "onespace settings" lists them.`] : [];
  });
}

interface Rule {
  type?: string;
  enum?: readonly string[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
}

/** The values that a setting takes, in words. */
function allowedFor(name: keyof Config): string {
  const { type, enum: choices, minimum, exclusiveMinimum, maximum }: Rule = Settings.properties[name];
  if (choices !== undefined) return `one of ${choices.join(', ')}`;
  if (type === 'boolean') return 'true or false';
  const least = minimum === undefined ? `greater than ${exclusiveMinimum}` : `from ${minimum}`;
  return `${type === 'integer' ? 'an integer' : 'a number'} ${least} ${minimum === undefined ? 'and at most' : 'to'} ${maximum}`;
}

/** The entries of a setting that is a list: separated by commas or, as in a file, by lines. */
export const listOf = (setting: string): string[] =>
  setting
    .split(/[,\r\n]/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
