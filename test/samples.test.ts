import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from './server.js';

const run = promisify(execFile);

interface Query {
  query: string;
  image: string;
  video: string;
}
interface PhotoQuery {
  query: string;
  photos: string[];
}

let server: TestServer;
let queries: Query[];
let captions: { file: string; modal_type: string }[];

beforeAll(async () => {
  server = await startServer();
  queries = JSON.parse(await readFile('samples/queries.json', 'utf8')) as Query[];
  const lines = (await readFile('samples/captions.jsonl', 'utf8')).trim().split('\n');
  captions = lines.map((line) => JSON.parse(line));
});
afterAll(() => server.close());

const cli = (...args: string[]) => run(process.execPath, ['dist/src/cli/main.js', '--url', server.url, ...args]);

async function first(text: string, modality: string): Promise<string | undefined> {
  const reply = await server.json('/retrieve', { text, modal_type: modality, top_k: 1 });
  const { results } = (await reply.json()) as { results: { id: string }[] };
  return results[0]?.id;
}

describe('the samples', () => {
  it('are indexed by one command, and not sent again when it is repeated', async () => {
    const all = captions.length;
    const { stdout, stderr } = await cli('index', 'samples');
    expect(stdout).toBe(`${all} stored, 0 refused\n`);
    expect(stderr).toContain(`${all}/${all}`);
    expect((await cli('index', 'samples')).stdout).toBe(`0 stored, ${all} unchanged, 0 refused\n`);
    expect((await cli('index', 'samples', '--all')).stdout).toBe(`${all} stored, 0 refused\n`);
    const health = (await (await fetch(`${server.url}/health`)).json()) as { index: object };
    const count = (modality: string) => captions.filter(({ modal_type }) => modal_type === modality).length;
    expect(health.index).toMatchObject({ vectors: { text: 0, image: count('image'), video: count('video') } });
  });

  it('answer at least 10 of the 12 queries with the right image and the right video first', async () => {
    expect(queries).toHaveLength(12);
    expect(queries.map(({ query }) => query)).toEqual(expect.arrayContaining(['红色汽车', 'a cat']));
    const wrong: string[] = [];
    for (const { query, image, video } of queries) {
      const found = [await first(query, 'image'), await first(query, 'video')];
      if (found[0] !== image || found[1] !== video) wrong.push(`${query}: ${found.join(', ')}`);
    }
    expect(wrong.length, wrong.join('\n')).toBeLessThanOrEqual(2);
  });

  it('are found from the command line', async () => {
    const { stdout } = await cli('search', 'a cat', '--top-k', '3', '--modality', 'image');
    expect(stdout.trim().split('\n')).toHaveLength(3);
    expect(stdout).toMatch(/^\d\.\d{3} {2}image {2}images\//);
  });
});

describe('the album, with onespace-base', () => {
  it('answers questions in ten languages', async () => {
    const base = await startServer({ MODEL: 'onespace-base' });
    try {
      const index = ['dist/src/cli/main.js', '--url', base.url, 'index', 'samples/album'];
      expect((await run(process.execPath, index)).stdout).toBe('105 stored, 0 refused\n');
      const asked = JSON.parse(await readFile('samples/album/queries.json', 'utf8')) as PhotoQuery[];
      const misses = { first: [] as string[], firstThree: [] as string[] };
      for (const { query, photos } of asked) {
        const reply = await base.json('/retrieve', { text: query, top_k: 3 });
        const found = ((await reply.json()) as { results: { id: string }[] }).results.map(({ id }) => id);
        if (!photos.includes(found[0] ?? '')) misses.first.push(`${query}: ${found[0]}`);
        if (!found.some((id) => photos.includes(id))) misses.firstThree.push(query);
      }
      // The card tells these figures.
      expect(asked).toHaveLength(21);
      expect(misses.first.length, misses.first.join('\n')).toBeLessThanOrEqual(7);
      expect(misses.firstThree).toEqual(["un château au bord de l'eau", 'античный Рим']);
    } finally {
      await base.close();
    }
  });
});
