import { createHash, timingSafeEqual } from 'node:crypto';
import type { Config } from '../config.js';

/** What a caller may do: search and embed, or also change what is stored. */
export type Permission = 'read' | 'write';

interface ApiKey {
  sha256: Buffer;
  permission: Permission;
}

const READ_ONLY_SUFFIX = ':read';
/** Shorter keys can be guessed. */
const MIN_KEY_CHARACTERS = 16;

/** Who may call. Without keys everybody may, which is meant only where the service can be reached by its own machine. */
export class Access {
  private readonly keys: readonly ApiKey[];

  /** @throws Error when a key is too short, or when the service would stand open to others without being told to */
  constructor({ API_KEYS, ALLOW_ANONYMOUS, HOST }: Pick<Config, 'API_KEYS' | 'ALLOW_ANONYMOUS' | 'HOST'>) {
    this.keys = listOf(API_KEYS).map(readKey);
    if (this.keys.length > 0 || ALLOW_ANONYMOUS || isLoopback(HOST)) return;
    throw new Error(
      `HOST=${HOST} lets other machines call this service, and it has no keys. Either set API_KEYS to one or ` +
        'more keys (for example the output of "openssl rand -hex 24"), or set ALLOW_ANONYMOUS=true where ' +
        'something else decides who may call.',
    );
  }

  get needsKey(): boolean {
    return this.keys.length > 0;
  }

  /** What the holder of a key may do; undefined when it is none of ours. Takes the same time whichever it is. */
  permissionOf(key: string): Permission | undefined {
    const sha256 = hash(key);
    let found: Permission | undefined;
    for (const known of this.keys) if (timingSafeEqual(known.sha256, sha256)) found = known.permission;
    return found;
  }
}

/** The entries of a setting that is a list with commas. */
export const listOf = (setting: string): string[] =>
  setting
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

/** Whether an address to listen on, or the host of a URL, is this machine's own. */
export const isLoopback = (host: string): boolean =>
  /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|\[::1\])$/i.test(host);

function readKey(entry: string): ApiKey {
  const readOnly = entry.endsWith(READ_ONLY_SUFFIX);
  const key = readOnly ? entry.slice(0, -READ_ONLY_SUFFIX.length) : entry;
  if (key.length < MIN_KEY_CHARACTERS) {
    throw new Error(`API_KEYS: a key has ${key.length} characters; at least ${MIN_KEY_CHARACTERS} are needed.`);
  }
  return { sha256: hash(key), permission: readOnly ? 'read' : 'write' };
}

/** Only hashes are kept and compared, so that neither memory nor time tells a key. */
const hash = (key: string): Buffer => createHash('sha256').update(key).digest();
