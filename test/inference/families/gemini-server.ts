import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

export const KEY = 'AIza-test';

const Part = Type.Union([
  Type.Object({ text: Type.String() }, { additionalProperties: false }),
  Type.Object(
    { inlineData: Type.Object({ mimeType: Type.String(), data: Type.String() }, { additionalProperties: false }) },
    { additionalProperties: false },
  ),
]);
export type WirePart = Static<typeof Part>;

/** https://ai.google.dev/api/embeddings#method:-models.batchembedcontents, as far as gemini-embedding-2 takes it. */
const BatchRequest = Type.Object(
  {
    requests: Type.Array(
      Type.Object(
        {
          model: Type.Literal('models/gemini-embedding-2'),
          content: Type.Object({ role: Type.Optional(Type.String()), parts: Type.Array(Part, { minItems: 1 }) }),
          outputDimensionality: Type.Optional(Type.Integer({ minimum: 128, maximum: 3072 })),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);

/** How a request fails: with an error reply, without a reply, with a vector of another length, or cut off. */
export type Fault =
  | { status: number; message?: string; details?: object[] }
  | { silent: true }
  | { dim: number }
  | { cut: true };

/** A fake of the Gemini API that follows its published interface, and refuses requests that do not. */
export class GeminiServer {
  /** The parts of each content that was embedded. */
  readonly seen: WirePart[][] = [];
  requests = 0;
  /** Requests whose client disconnected before it had a reply. */
  cancelled = 0;
  readonly faults: Fault[] = [];

  private constructor(private readonly server: Server) {
    server.on('request', (request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<GeminiServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    return new GeminiServer(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests += 1;
    response.on('close', () => {
      if (!response.writableFinished) this.cancelled += 1;
    });
    const body: unknown = JSON.parse((await buffer(request)).toString('utf8'));
    const fault = this.faults.shift();
    if (request.method !== 'POST' || request.url !== '/v1beta/models/gemini-embedding-2:batchEmbedContents')
      refuse(response, 404, `no method at ${request.url}`);
    else if (request.headers['x-goog-api-key'] !== KEY)
      refuse(response, 400, 'API key not valid. Please pass a valid API key.', [
        { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID', domain: 'googleapis.com' },
      ]);
    else if (!Value.Check(BatchRequest, body))
      refuse(response, 400, `Invalid JSON payload received. ${JSON.stringify(Value.Errors(BatchRequest, body)[0])}`);
    else if (fault !== undefined && 'status' in fault)
      refuse(response, fault.status, fault.message ?? 'It failed.', fault.details);
    else if (fault !== undefined && 'cut' in fault) response.destroy();
    else if (fault === undefined || 'dim' in fault) this.#embed(body, fault?.dim, response);
  }

  #embed({ requests }: Static<typeof BatchRequest>, dim: number | undefined, response: ServerResponse): void {
    const embeddings = requests.map(({ content, outputDimensionality = 3072 }) => {
      this.seen.push(content.parts);
      return { values: vectorOf(content.parts, dim ?? outputDimensionality) };
    });
    response.writeHead(200, { 'content-type': 'application/json; charset=UTF-8' }).end(JSON.stringify({ embeddings }));
  }
}

/** A vector per content, whose norm is not 1, as in the real API. */
function vectorOf(parts: readonly WirePart[], dim: number): number[] {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest();
  return Array.from({ length: dim }, (_, i) => ((digest[i % digest.length] as number) - 127.5) / 100);
}

function refuse(response: ServerResponse, code: number, message: string, details: object[] = []): void {
  const body = { error: { code, message, status: 'FAILED', details } };
  response.writeHead(code, { 'content-type': 'application/json; charset=UTF-8' }).end(JSON.stringify(body));
}
