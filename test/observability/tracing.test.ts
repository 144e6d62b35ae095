import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ModelCopies } from '../model-copies.js';
import { startServer } from '../server.js';
import { ServiceProcess } from '../service-process.js';
import { type Collector, startCollector } from './otlp-receiver.js';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT_ID = '00f067aa0ba902b7';
const TRACEPARENT = `00-${TRACE_ID}-${PARENT_ID}-01`;
const SERVER = 2;
const SOON = { timeout: 30_000 };

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function start(settings: (collector: Collector) => Record<string, string>) {
  const collector = await startCollector();
  stops.push(() => collector.close());
  const service = await ServiceProcess.start({
    settings: { LOG_LEVEL: 'debug', OTEL_BSP_SCHEDULE_DELAY: '200', ...settings(collector) },
  });
  stops.push(() => service.stop());
  return { collector, service };
}

const post = (service: ServiceProcess, route: string, body: object, headers: Record<string, string> = {}) =>
  fetch(service.url + route, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

describe('tracing', () => {
  it('sends a span of each request, with its stages, to the collector that the environment names', async () => {
    const { collector, service } = await start(({ url }) => ({
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=search',
      OTEL_SERVICE_NAME: 'my-search',
    }));
    const reply = await post(service, '/items', { text: 'a red car' }, { traceparent: TRACEPARENT });
    expect(reply.status).toBe(201);
    await expect.poll(() => collector.spans.find(({ kind }) => kind === SERVER), SOON).toBeDefined();
    const span = collector.spans.find(({ kind }) => kind === SERVER);
    expect(span).toMatchObject({
      traceId: TRACE_ID,
      parentSpanId: PARENT_ID,
      name: 'POST /items',
      status: 0,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/items',
        'http.response.status_code': 201,
        'url.path': '/items',
        'client.address': '127.0.0.1',
        'onespace.model': reply.headers.get('x-onespace-model'),
        'onespace.request_id': reply.headers.get('x-request-id'),
      },
    });
    expect(collector.resources[0]).toMatchObject({ 'service.name': 'my-search' });
    expect(collector.headers[0]).toMatchObject({ 'x-tenant': 'search' });
    expect(
      JSON.stringify(collector.spans, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
    ).not.toContain('a red car');

    const stages = collector.spans.filter(({ parentSpanId }) => parentSpanId === span?.spanId);
    expect(stages.map(({ name }) => name).sort()).toEqual(['inference', 'queue', 'serialise', 'store']);
    const [queue, inference] = ['queue', 'inference'].map((name) => stages.find((stage) => stage.name === name));
    for (const stage of stages) {
      expect(stage.traceId).toBe(TRACE_ID);
      expect(stage.startNs).toBeGreaterThanOrEqual(span?.startNs ?? 0n);
      expect(stage.endNs).toBeLessThanOrEqual(span?.endNs ?? 0n);
    }
    // One ends where the other begins, but for the time between the two reports.
    expect(Math.abs(Number((queue?.endNs ?? 0n) - (inference?.startNs ?? 0n))) / 1e6).toBeLessThan(5);
    await expect.poll(() => service.logs.find((line) => line.path === '/items')).toMatchObject({ trace_id: TRACE_ID });
  });

  it('starts a trace where the caller has none, and marks failures of the service', async () => {
    const { collector, service } = await start(({ url }) => ({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/v1/traces`,
      STORE: 'chroma',
      CHROMA_URL: 'http://127.0.0.1:9',
    }));
    expect((await post(service, '/retrieve', { text: 'x' })).status).toBe(503);
    expect((await post(service, '/retrieve', { nonsense: 1 })).status).toBe(400);
    const servers = () => collector.spans.filter(({ kind }) => kind === SERVER);
    await expect.poll(() => servers().length, SOON).toBe(2);
    expect(servers().map(({ status, attributes }) => [attributes['http.response.status_code'], status])).toEqual([
      [503, 2],
      [400, 0],
    ]);
    const [first] = servers();
    await expect
      .poll(() => service.logs.find(({ status }) => status === 503))
      .toMatchObject({ trace_id: first?.traceId });
    expect(first?.parentSpanId).toBe('');
  });

  it('samples as the environment says, and sends what is left when it stops', async () => {
    const { collector, service } = await start(({ url }) => ({
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_TRACES_SAMPLER: 'parentbased_always_off',
      OTEL_BSP_SCHEDULE_DELAY: '60000',
    }));
    await post(service, '/embed/text', { text: 'unsampled' });
    await post(service, '/embed/text', { text: 'sampled' }, { traceparent: TRACEPARENT });
    await service.stop();
    expect(collector.spans.filter(({ kind }) => kind === SERVER).map(({ traceId }) => traceId)).toEqual([TRACE_ID]);
  });

  it('sends nothing unless the environment names a collector', async () => {
    for (const off of [{}, { OTEL_SDK_DISABLED: 'true' }, { OTEL_TRACES_EXPORTER: 'none' }]) {
      const { collector, service } = await start(({ url }) => ({
        ...(Object.keys(off).length > 0 ? { OTEL_EXPORTER_OTLP_ENDPOINT: url } : {}),
        ...off,
      }));
      await post(service, '/embed/text', { text: 'x' }, { traceparent: TRACEPARENT });
      await service.stop();
      expect(collector.headers).toEqual([]);
    }
  });
});

describe('a trace', () => {
  it('goes on at the upstream', async () => {
    const copies = await ModelCopies.open();
    stops.push(() => copies.close());
    const healthy = await startServer();
    stops.push(() => healthy.close());
    const seen: IncomingHttpHeaders[] = [];
    const proxy = createServer(async (request, response) => {
      seen.push(request.headers);
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const type = request.headers['content-type'];
      const reply = await fetch(healthy.url + request.url, {
        method: request.method ?? 'GET',
        headers: type === undefined ? {} : { 'content-type': type },
        ...(request.method === 'POST' ? { body: Buffer.concat(chunks) } : {}),
      });
      response.writeHead(reply.status, Object.fromEntries(reply.headers)).end(Buffer.from(await reply.arrayBuffer()));
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    stops.push(async () => proxy.close() && proxy.closeAllConnections());
    const failing = await startServer({
      MODEL: await copies.make({ poison: 'all' }),
      REPLICA_URL: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    });
    stops.push(() => failing.close());
    const embed = (headers: Record<string, string>) =>
      fetch(`${failing.url}/embed/text`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ text: `input ${seen.length}` }),
      });
    expect((await embed({ traceparent: TRACEPARENT, tracestate: 'vendor=1' })).status).toBe(200);
    expect(seen.at(-1)).toMatchObject({ traceparent: TRACEPARENT, tracestate: 'vendor=1' });
    expect((await embed({})).status).toBe(200);
    expect(seen.at(-1)).not.toHaveProperty('traceparent');
  });
});
