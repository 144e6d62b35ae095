import { isIP } from 'node:net';
import { listOf } from '../../config.js';

/** The hosts from which files may be downloaded: the entries of `ALLOW_URL_HOSTS`. */
export class UrlHosts {
  private readonly entries: readonly string[];

  constructor(setting: string) {
    this.entries = listOf(setting.toLowerCase());
  }

  get isEmpty(): boolean {
    return this.entries.length === 0;
  }

  /** An entry is `host` (the scheme's default port), `host:port`, or `*.host` (any subdomain). */
  allows({ hostname, port, protocol, username, password }: URL): boolean {
    if (protocol !== 'https:' && protocol !== 'http:') return false;
    if (username !== '' || password !== '') return false;
    const suffix = port === '' ? '' : `:${port}`;
    return this.entries.some((entry) => {
      if (!entry.startsWith('*.')) return entry === hostname + suffix;
      return isIP(hostname) === 0 && (hostname + suffix).endsWith(entry.slice(1));
    });
  }
}
