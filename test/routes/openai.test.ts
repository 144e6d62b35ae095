import { OpenAIEmbeddings } from '@langchain/openai';
import OpenAI, { APIError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg, mp4 } from '../media-files.js';
import { dot, problemOf, startServer, type TestServer } from '../server.js';

interface Native {
  embedding: number[];
  tokens: number;
}

let server: TestServer;
let openai: OpenAI;
let [red, clip]: Buffer[] = [];

beforeAll(async () => {
  [server, red, clip] = await Promise.all([startServer(), jpeg('red'), mp4()]);
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'not needed here', maxRetries: 0 });
});
afterAll(() => server.close());

const native = async (body: object) => (await (await server.json('/embed', body)).json()) as Native;
const dataUrl = (bytes: Buffer | undefined) => `data:;base64,${bytes?.toString('base64')}`;
const model = 'onespace-mini';

async function refusal(call: Promise<unknown>): Promise<APIError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof APIError)) throw new Error(`expected an APIError, got ${error}`);
  return error;
}

describe('the openai client', () => {
  it('embeds a text and several texts, with usage, in both encodings', async () => {
    const texts = ['a red car', 'un chat', '红色汽车'];
    const alone = await Promise.all(texts.map((text) => native({ text })));
    // Without an encoding format, this client requests base64 and decodes it.
    const byDefault = await openai.embeddings.create({ model, input: texts });
    const asFloats = await openai.embeddings.create({ model, input: texts, encoding_format: 'float' });
    for (const reply of [byDefault, asFloats]) {
      expect(reply.data.map(({ index }) => index)).toEqual([0, 1, 2]);
      for (const [i, { embedding }] of reply.data.entries()) {
        expect(embedding).toHaveLength(256);
        expect(dot(embedding, alone[i]?.embedding ?? [])).toBeCloseTo(1, 5);
      }
    }
    const tokens = alone.reduce((sum, one) => sum + one.tokens, 0);
    expect(byDefault).toMatchObject({ model, usage: { prompt_tokens: tokens, total_tokens: tokens } });
    const single = await openai.embeddings.create({ model, input: 'a red car' });
    expect(dot(single.data[0]?.embedding ?? [], alone[0]?.embedding ?? [])).toBeCloseTo(1, 5);
  });

  it('returns the same numbers in base64 as in JSON, to nine decimals', async () => {
    const input = { model, input: 'a red car' };
    const floats = await openai.embeddings.create({ ...input, encoding_format: 'float' });
    const response = await server.json('/v1/embeddings', { ...input, encoding_format: 'base64' });
    const { data } = (await response.json()) as { data: { embedding: string }[] };
    const bytes = Buffer.from(data[0]?.embedding ?? '', 'base64');
    const decoded = Array.from({ length: 256 }, (_, i) => bytes.readFloatLE(4 * i));
    for (const [i, x] of (floats.data[0]?.embedding ?? []).entries()) expect(decoded[i]).toBeCloseTo(x, 8);
    expect(decoded).toHaveLength(floats.data[0]?.embedding.length ?? 0);
  });

  it('truncates vectors to a dimension that the model supports, and renormalises them', async () => {
    const full = await native({ text: 'a red car' });
    const { data } = await openai.embeddings.create({ model, input: 'a red car', dimensions: 64 });
    const short = data[0]?.embedding ?? [];
    expect(short).toHaveLength(64);
    expect(Math.hypot(...short)).toBeCloseTo(1, 5);
    expect(dot(short, full.embedding)).toBeCloseTo(Math.hypot(...full.embedding.slice(0, 64)), 5);
    const error = await refusal(openai.embeddings.create({ model, input: 'a', dimensions: 100 }));
    expect(error).toMatchObject({ status: 400, param: 'dimensions' });
    expect(error.message).toContain('256, 128, 64');
  });

  it('reports truncated text, and only that', async () => {
    const { data } = await openai.embeddings.create({ model, input: ['short', 'one two three four '.repeat(50)] });
    expect(data.map((one) => 'truncated' in one && one.truncated)).toEqual([false, true]);
  });

  it('lists the model with its limits', async () => {
    const models = await openai.models.list();
    expect(models.data).toMatchObject([
      { id: model, object: 'model', dimensions: [256, 128, 64], limits: { text_tokens: 64, inputs_per_request: 256 } },
    ]);
    expect(await openai.models.retrieve(model)).toEqual(models.data[0]);
    expect(await refusal(openai.models.retrieve('gpt-5'))).toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('embeds content parts: one vector for several parts of an input, one for each of several inputs', async () => {
    const parts = [
      { type: 'text', text: 'at night' },
      { type: 'image_url', image_url: { url: dataUrl(red) } },
      { type: 'video_url', video_url: { url: dataUrl(clip) } },
    ];
    const mixed = await native({
      parts: [{ text: 'at night' }, { image: dataUrl(red) }, { video: dataUrl(clip) }],
    });
    const body = (value: object) => openai.post('/embeddings', { body: { model, ...value } }) as Promise<never>;
    const reply = async (value: object): Promise<OpenAI.CreateEmbeddingResponse> => body(value);
    expect((await reply({ input: parts })).data.map(({ embedding }) => embedding)).toEqual([mixed.embedding]);
    expect((await reply({ messages: [{ role: 'user', content: parts }] })).data[0]?.embedding).toEqual(mixed.embedding);
    const several = await reply({ input: ['at night', parts] });
    expect(several.data).toHaveLength(2);
    expect(several.data[1]?.embedding).toEqual(mixed.embedding);
  });

  it('receives the reason of an error', async () => {
    const tokens = await refusal(openai.embeddings.create({ model, input: [[1, 2, 3]] }));
    expect(tokens).toMatchObject({ status: 400, type: 'invalid_request_error', param: 'input' });
    expect(tokens.message).toContain('send the text itself');
    expect(await refusal(openai.embeddings.create({ model, input: [1, 2] }))).toMatchObject({ status: 400 });
    const unknown = await refusal(openai.embeddings.create({ model: 'text-embedding-3-small', input: 'a' }));
    expect(unknown).toMatchObject({ status: 404, code: 'model_not_found', type: 'not_found_error' });
    expect(unknown.message).toContain('this service has "onespace-mini"');
  });
});

describe("LangChain's OpenAIEmbeddings", () => {
  it('embeds documents and queries in the space of the native routes', async () => {
    const embeddings = new OpenAIEmbeddings({
      model,
      apiKey: 'not needed here',
      configuration: { baseURL: `${server.url}/v1` },
      maxRetries: 0,
    });
    const documents = Array.from({ length: 600 }, (_, i) => `document number ${i % 20}`);
    const vectors = await embeddings.embedDocuments(documents);
    expect(vectors).toHaveLength(600);
    const query = await embeddings.embedQuery('document number 7');
    expect(dot(query, vectors[7] ?? [])).toBeCloseTo(1, 5);
    expect(dot(query, (await native({ text: 'document number 7' })).embedding)).toBeCloseTo(1, 5);
  });

  it('gets the number of dimensions that it requests', async () => {
    const configuration = { baseURL: `${server.url}/v1` };
    const short = new OpenAIEmbeddings({ model, apiKey: 'x', dimensions: 128, configuration });
    expect(await short.embedQuery('a cat')).toHaveLength(128);
  });
});

describe('errors under /v1', () => {
  it.each([
    ['neither input nor messages', { model }, 400, 'invalid_request'],
    ['no inputs', { model, input: [] }, 400, 'invalid_request'],
    ['a part of another type', { model, input: [{ type: 'input_audio', input_audio: {} }] }, 400, 'invalid_request'],
    ['an unknown encoding', { model, input: 'a', encoding_format: 'int8' }, 400, 'invalid_request'],
    ['a blank input', { input: ['a', ' '] }, 400, 'invalid_request'],
    ['malformed JSON', '{', 400, 'invalid_json'],
  ])('are problem documents too: %s', async (_, body, status, code) => {
    const problem = await problemOf(await server.json('/v1/embeddings', body));
    expect(problem).toMatchObject({ status, code, error: { code, type: 'invalid_request_error' } });
    expect(problem.error).toMatchObject({ message: problem.detail });
  });

  it('are problem documents for an unknown route', async () => {
    expect(await problemOf(await server.json('/v1/chat/completions', {}))).toMatchObject({
      status: 404,
      error: { code: 'not_found' },
    });
  });
});
