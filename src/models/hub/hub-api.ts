import { type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import type { HubConnection, Reply } from './http-client.js';
import { HubError } from './hub-error.js';
import type { Expected } from './partial-file.js';
import { type Patience, retrying } from './retry.js';

const PAGES_MAX = 20;
const JSON_BYTES_MAX = 16e6;

const Revision = Type.Object({ sha: Type.String({ pattern: '^[0-9a-f]{40}$' }) });

/** What the hub tells of a file: large ones lie outside git, with their sha256; the others are git objects. */
const Tree = Type.Array(
  Type.Object({
    type: Type.String(),
    path: Type.String(),
    oid: Type.String(),
    size: Type.Integer(),
    lfs: Type.Optional(Type.Object({ oid: Type.String(), size: Type.Integer() })),
  }),
);

/** The file interface of a model hub, as https://huggingface.co/docs/hub/api describes it. */
export class Hub {
  constructor(
    readonly connection: HubConnection,
    readonly patience: Patience,
    readonly say: (message: string) => void,
  ) {}

  /** The commit that a branch, tag or shortened commit stands for. */
  async commitOf(repo: string, revision: string): Promise<string> {
    const { value } = await this.#json(this.#api(repo, 'revision', revision), Revision);
    return (value as { sha: string }).sha;
  }

  /** The size and digest of every file of a repository at a commit. */
  async filesOf(repo: string, commit: string): Promise<Map<string, Expected>> {
    const files = new Map<string, Expected>();
    let address: string | undefined = `${this.#api(repo, 'tree', commit)}?recursive=true`;
    for (let page = 0; page < PAGES_MAX && address !== undefined; page++) {
      const { value, headers }: { value: unknown; headers: Headers } = await this.#json(address, Tree);
      for (const { path, oid, size, lfs } of value as Type.Static<typeof Tree>) {
        if (lfs === undefined) files.set(path, { bytes: size, gitOid: oid });
        else files.set(path, { bytes: lfs.size, sha256: lfs.oid });
      }
      address = /<([^>]+)>;\s*rel="next"/.exec(headers.get('link') ?? '')?.[1];
    }
    return files;
  }

  addressOf(repo: string, commit: string, file: string): string {
    return `${this.connection.endpoint}/${repo}/resolve/${commit}/${file}`;
  }

  #api(repo: string, kind: 'revision' | 'tree', revision: string): string {
    return `${this.connection.endpoint}/api/models/${repo}/${kind}/${encodeURIComponent(revision)}`;
  }

  #json(address: string, schema: TSchema): Promise<{ value: unknown; headers: Headers }> {
    const ask = async () => {
      const reply = await this.connection.get(address);
      const value = await jsonOf(reply);
      if (!Value.Check(schema, value)) throw new HubError(`${address} is not what a model hub answers.`, false);
      return { value, headers: reply.headers };
    };
    return retrying(ask, this.patience, this.say);
  }
}

async function jsonOf({ chunks }: Reply): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > JSON_BYTES_MAX) throw new HubError('The list of files is larger than any model has.', false);
    parts.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    return undefined;
  }
}
