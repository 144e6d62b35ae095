import http from 'node:http';
import { Connection } from './connection.mjs';

/** Throughput and latency percentiles of one run. */
export function summarise(latenciesMs, seconds) {
  const sorted = Float64Array.from(latenciesMs).sort();
  const at = (fraction) => sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))];
  return { perSecond: sorted.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99), count: sorted.length };
}

/**
 * Keeps `concurrency` requests in flight for `seconds`, over keep-alive connections.
 * @param next returns the next request: {path, type, body}; a body may be a list of chunks
 * @param check receives each request and the JSON of its reply; an error it throws ends the run
 */
export async function load(url, { concurrency, seconds, next, check }) {
  const connections = await Promise.all(Array.from({ length: concurrency }, () => Connection.open(url)));
  const latenciesMs = [];
  const end = performance.now() + seconds * 1000;
  const start = performance.now();
  const worker = async (connection) => {
    while (performance.now() < end) {
      const request = next();
      const sent = performance.now();
      const { status, body } = await connection.post(request);
      latenciesMs.push(performance.now() - sent);
      if (status !== 200) throw new Error(`${request.path} answered ${status}: ${body.toString().slice(0, 300)}`);
      check?.(request, JSON.parse(body));
    }
  };
  await Promise.all(connections.map(worker));
  for (const connection of connections) connection.close();
  return summarise(latenciesMs, (performance.now() - start) / 1000);
}

/** One request through Node's own client. @returns {status, body} */
export function post(url, agent, { path, type, body }) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) };
    const request = http.request(new URL(path, url), { method: 'POST', agent, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks) }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}
