import { type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import { type RetryPolicy, retry } from '../../lib/async/retry.js';
import type { ExpectedContent } from '../files/partial-file.js';
import type { HttpClient, Reply } from './http-client.js';
import { HubError } from './hub-error.js';

const PAGES_MAX = 20;
const JSON_BYTES_MAX = 16e6;

export interface HubRetryPolicy extends RetryPolicy {
  /** The longest delay demanded by the hub that is waited for. */
  maxRetryAfterMs: number;
}

/** The hub counts requests in windows of five minutes: one window is waited for. */
export const HUB_RETRY_POLICY: HubRetryPolicy = {
  attempts: 6,
  firstMs: 1_000,
  maxMs: 30_000,
  maxRetryAfterMs: 310_000,
};

const Revision = Type.Object({ sha: Type.String({ pattern: '^[0-9a-f]{40}$' }) });

/** The hub's listing of a repository: large files are stored outside git, with a sha256; the others are git objects. */
const Tree = Type.Array(
  Type.Object({
    type: Type.String(),
    path: Type.String(),
    oid: Type.String(),
    size: Type.Integer(),
    lfs: Type.Optional(Type.Object({ oid: Type.String(), size: Type.Integer() })),
  }),
);

/** The file interface of a model hub (https://huggingface.co/docs/hub/api), with retries. */
export class HubApi {
  /** @param onNotice called with a line for the user before each retry */
  constructor(
    readonly client: HttpClient,
    private readonly policy: HubRetryPolicy,
    private readonly onNotice: (message: string) => void,
  ) {}

  /** The commit of a branch, a tag or a shortened commit. @throws HubError */
  async commitOf(repository: string, revision: string): Promise<string> {
    const { value } = await this.#getJson(this.#apiUrl(repository, 'revision', revision), Revision);
    return (value as { sha: string }).sha;
  }

  /** The size and digest of every file of a repository at a commit. @throws HubError */
  async filesOf(repository: string, commit: string): Promise<Map<string, ExpectedContent>> {
    const files = new Map<string, ExpectedContent>();
    let url: string | undefined = `${this.#apiUrl(repository, 'tree', commit)}?recursive=true`;
    for (let page = 0; page < PAGES_MAX && url !== undefined; page++) {
      const { value, headers }: { value: unknown; headers: Headers } = await this.#getJson(url, Tree);
      for (const { path, oid, size, lfs } of value as Type.Static<typeof Tree>) {
        if (lfs === undefined) files.set(path, { bytes: size, gitOid: oid });
        else files.set(path, { bytes: lfs.size, sha256: lfs.oid });
      }
      url = /<([^>]+)>;\s*rel="next"/.exec(headers.get('link') ?? '')?.[1];
    }
    return files;
  }

  urlOf(repository: string, commit: string, file: string): string {
    return `${this.client.endpoint}/${repository}/resolve/${commit}/${file}`;
  }

  /**
   * Repeats `task` on transient errors, with the delay that the hub demands where it demands one.
   * @param progress grows while the task gets further; failures are counted from the last gain
   * @throws the last error of `task`
   */
  withRetries<Result>(task: () => Promise<Result>, progress?: () => number): Promise<Result> {
    return retry(task, {
      ...this.policy,
      shouldRetry: (error) =>
        error instanceof HubError && error.isTransient && (error.retryAfterMs ?? 0) <= this.policy.maxRetryAfterMs,
      retryAfterMs: (error) => (error as HubError).retryAfterMs,
      onRetry: (error, delayMs) =>
        this.onNotice(`${(error as HubError).message} Trying again in ${Math.ceil(delayMs / 1000)} s.`),
      ...(progress === undefined ? {} : { progress }),
    });
  }

  #apiUrl(repository: string, kind: 'revision' | 'tree', revision: string): string {
    return `${this.client.endpoint}/api/models/${repository}/${kind}/${encodeURIComponent(revision)}`;
  }

  #getJson(url: string, schema: TSchema): Promise<{ value: unknown; headers: Headers }> {
    return this.withRetries(async () => {
      const reply = await this.client.get(url);
      const value = await jsonOf(reply);
      if (!Value.Check(schema, value)) throw new HubError(`${url} does not reply as a model hub does.`, false);
      return { value, headers: reply.headers };
    });
  }
}

async function jsonOf({ chunks }: Reply): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > JSON_BYTES_MAX)
      throw new HubError(`The hub's list of files is larger than ${JSON_BYTES_MAX} bytes.`, false);
    parts.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    return undefined;
  }
}
