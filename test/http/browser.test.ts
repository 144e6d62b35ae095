/** Pages in a real browser, Chromium from Debian: what they can do here is decided by it, not by our idea of it. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type BrowserContext, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from '../server.js';

const CHROMIUM = '/usr/bin/chromium';
const isInstalled = existsSync(CHROMIUM);
if (!isInstalled)
  console.warn('LEFT OUT: test/http/browser.test.ts needs Chromium; `node deploy/setup.mjs large-tools` installs it.');

/** No name here exists: the browser resolves them to this machine, as an attacker's or a network's DNS would. */
const NAMES = ['photos.test', 'app.test', 'evil.test'].map((name) => `MAP ${name} 127.0.0.1`).join(', ');
const QUIET = '--no-first-run --disable-gpu --disable-quic --disable-background-networking --disable-component-update';
const KEY = 'a-key-that-may-write';
const IMAGE = 'samples/photos/cat.jpg';

let profile: string;
let browser: BrowserContext;

/** A page of another origin, and a proxy that serves the service below /onespace, as it serves other things beside it. */
let elsewhere: Server;
let target: string;
const proxied = '/onespace';

const portOf = (server: Server) => (server.address() as AddressInfo).port;
const named = (name: string, url: string) => `http://${name}:${new URL(url).port}`;

async function listen(handler: RequestListener): Promise<Server> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const sendPage = (reply: ServerResponse) => reply.setHeader('content-type', 'text/html').end('<title>a page</title>');

const startElsewhere = () =>
  listen((incoming, reply) => {
    if (!incoming.url?.startsWith(proxied)) return void sendPage(reply);
    const { method, headers } = incoming;
    const onward = request(target + incoming.url.slice(proxied.length), { method, headers }, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(reply);
    });
    incoming.pipe(onward);
  });

/** Opens an operation of the page at /docs as a reader does. */
async function tryOut(page: Page, operation: string): Promise<Locator> {
  const block = page.locator(`[id$="-${operation}"]`);
  await block.locator('.opblock-summary-control').click();
  await block.getByRole('button', { name: 'Try it out' }).click();
  return block;
}

/** @returns the status that the page shows */
async function execute(block: Locator): Promise<string | undefined> {
  await block.getByRole('button', { name: 'Execute' }).click();
  return (await block.locator('.live-responses-table tbody .response-col_status').first().textContent())?.trim();
}

async function chooseFile(block: Locator, file: string): Promise<void> {
  const chooser = block.locator('input[type=file]');
  if ((await chooser.count()) === 0) await block.getByRole('button', { name: 'Add string item' }).first().click();
  await chooser.first().setInputFiles(file);
}

interface Answer {
  status: number;
  body: Record<string, unknown>;
  headers: Record<string, string>;
}

/** `fetch` in a page, and what the page may see of the reply; the message where the browser forbids it. */
const fetchIn = (page: Page, url: string, options: RequestInit): Promise<Answer | string> =>
  page.evaluate(
    async ([to, how]) => {
      try {
        const response = await fetch(to, how);
        const text = await response.text();
        const headers = Object.fromEntries(response.headers);
        return { status: response.status, body: text === '' ? {} : JSON.parse(text), headers };
      } catch (error) {
        return String(error);
      }
    },
    [url, options] as const,
  );

// On two cores beside other tests, the page at /docs takes its time.
describe.skipIf(!isInstalled)('a browser', { timeout: 180_000 }, () => {
  beforeAll(async () => {
    profile = await mkdtemp(path.join(tmpdir(), 'onespace-browser-'));
    browser = await chromium.launchPersistentContext(profile, {
      timeout: 120_000,
      executablePath: CHROMIUM,
      args: ['--no-sandbox', '--disable-sync', `--host-resolver-rules=${NAMES}`, ...QUIET.split(' ')],
    });
    elsewhere = await startElsewhere();
  });
  afterAll(async () => {
    await browser?.close();
    elsewhere?.close();
    if (profile !== undefined) await rm(profile, { recursive: true, force: true });
  });

  describe('at /docs', () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startServer({ ALLOWED_HOSTS: 'photos.test' });
      target = server.url;
    });
    afterAll(() => server.close());

    it('shows the page by a name over plain http, and sends uploads as they are filled in', async () => {
      const page = await browser.newPage();
      await page.goto(`${named('photos.test', server.url)}/docs`);
      const image = await tryOut(page, 'embedImage');
      await chooseFile(image, IMAGE);
      expect(await execute(image)).toBe('200');

      const item = await tryOut(page, 'putItem');
      await item.locator('select.content-type').first().selectOption('multipart/form-data');
      await chooseFile(item, IMAGE);
      expect(await execute(item)).toBe('201');
      expect(await item.locator('.live-responses-table').textContent()).toContain('"filename": "cat.jpg"');

      const video = await tryOut(page, 'embedVideo');
      await video.locator('select.content-type').first().selectOption('video/*');
      await chooseFile(video, 'samples/clips/rocket.mp4');
      expect(await execute(video)).toBe('200');
      await page.close();
    });

    it('finds everything behind a prefix', async () => {
      const page = await browser.newPage();
      await page.goto(`http://photos.test:${portOf(elsewhere)}${proxied}/docs`);
      const text = await tryOut(page, 'embedText');
      expect(await execute(text)).toBe('200');
      await page.close();
    });
  });

  it('cannot use a service without keys through a name that was rebound to it', async () => {
    const attacker = await listen((_incoming, reply) => void sendPage(reply));
    const PORT = String(portOf(attacker));
    const page = await browser.newPage();
    await page.goto(`http://evil.test:${PORT}`);
    attacker.close();
    attacker.closeAllConnections();
    // Now the name leads to the service: to the browser, the page still talks to where it came from.
    const server = await startServer({ PORT, HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'true' });
    await server.json('/items', { id: 'a', text: 'private' });
    for (const [method, route] of [
      ['GET', '/items'],
      ['DELETE', '/items/a'],
    ] as const)
      expect(await fetchIn(page, route, { method })).toMatchObject({ status: 421, body: { code: 'host_not_allowed' } });
    const forwarded = { 'x-forwarded-host': 'localhost' };
    expect(await fetchIn(page, '/items', { headers: forwarded })).toMatchObject({ status: 421 });
    expect((await fetch(`${server.url}/items/a`)).status).toBe(200);
    await page.close();
    await server.close();
  });

  it('lets a page of a listed origin search with a key and read headers and problems, and no other page', async () => {
    const origin = `http://app.test:${portOf(elsewhere)}`;
    const server = await startServer({ API_KEYS: KEY, CORS_ORIGINS: origin });
    const search = (headers: Record<string, string>) => ({
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        traceparent: `00-${'1'.repeat(32)}-${'1'.repeat(16)}-01`,
        ...headers,
      },
      body: JSON.stringify({ text: 'a cat' }),
    });
    const right = search({ authorization: `Bearer ${KEY}` });
    const page = await browser.newPage();
    await page.goto(origin);
    const found = (await fetchIn(page, `${server.url}/retrieve`, right)) as Answer;
    expect(found).toMatchObject({ status: 200, body: { results: [] } });
    for (const name of ['x-request-id', 'x-onespace-model', 'server-timing'])
      expect(found.headers[name], name).toBeTruthy();
    const refused = (await fetchIn(page, `${server.url}/retrieve`, search({ 'x-api-key': 'wrong' }))) as Answer;
    expect(refused).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
    expect(refused.headers['www-authenticate']).toBe('Bearer');
    const removed = await fetchIn(page, `${server.url}/items/none`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${KEY}` },
    });
    expect(removed).toMatchObject({ status: 404, body: { code: 'not_found' } });

    await page.goto(`http://evil.test:${portOf(elsewhere)}`);
    expect(await fetchIn(page, `${server.url}/retrieve`, right)).toContain('Failed to fetch');
    expect(await fetchIn(page, `${server.url}/health`, {})).toContain('Failed to fetch');
    await page.close();
    await server.close();
  });
});
