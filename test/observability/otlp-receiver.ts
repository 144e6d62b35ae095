import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  kind: number;
  startNs: bigint;
  endNs: bigint;
  attributes: Record<string, string | number>;
  /** 2 is an error. */
  status: number;
}

/** A collector: takes OTLP over HTTP and decodes its protobuf. */
export interface Collector {
  url: string;
  spans: ReceivedSpan[];
  /** Attributes of the services that have sent. */
  resources: Record<string, string | number>[];
  headers: IncomingHttpHeaders[];
  close(): Promise<void>;
}

export async function startCollector(): Promise<Collector> {
  const spans: ReceivedSpan[] = [];
  const resources: Record<string, string | number>[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    headers.push(request.headers);
    if (request.url !== '/v1/traces') return void response.writeHead(404).end();
    const message = decode(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body);
    for (const group of messages(message, 1)) {
      for (const resource of messages(group, 1)) resources.push(attributesOf(resource, 1));
      for (const scope of messages(group, 2)) for (const span of messages(scope, 2)) spans.push(toSpan(span));
    }
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    resources,
    headers,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The fields of a protobuf message by their number, each with its values: numbers, or bytes. */
type Fields = Map<number, (bigint | Buffer)[]>;

/** Source: https://protobuf.dev/programming-guides/encoding/. */
function decode(bytes: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const value = ((): bigint | Buffer => {
      switch (tag & 7) {
        case 0:
          return varint();
        case 1:
          at += 8;
          return bytes.readBigUInt64LE(at - 8);
        case 2: {
          const length = Number(varint());
          at += length;
          return bytes.subarray(at - length, at);
        }
        case 5:
          at += 4;
          return BigInt(bytes.readUInt32LE(at - 4));
        default:
          throw new Error(`wire type ${tag & 7}`);
      }
    })();
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
}

const bytesOf = (fields: Fields, number: number): Buffer => (fields.get(number)?.[0] as Buffer) ?? Buffer.alloc(0);
const numberOf = (fields: Fields, number: number): bigint => (fields.get(number)?.[0] as bigint) ?? 0n;
const messages = (fields: Fields, number: number): Fields[] =>
  (fields.get(number) ?? []).map((bytes) => decode(bytes as Buffer));

/** `KeyValue { key = 1, value = 2 }` with `AnyValue { string_value = 1, int_value = 3 }`. */
const attributesOf = (fields: Fields, number: number): Record<string, string | number> =>
  Object.fromEntries(
    messages(fields, number).map((pair) => {
      const value = decode(bytesOf(pair, 2));
      return [bytesOf(pair, 1).toString(), value.has(1) ? bytesOf(value, 1).toString() : Number(numberOf(value, 3))];
    }),
  );

/** Source: opentelemetry/proto/trace/v1/trace.proto. */
const toSpan = (span: Fields): ReceivedSpan => ({
  traceId: bytesOf(span, 1).toString('hex'),
  spanId: bytesOf(span, 2).toString('hex'),
  parentSpanId: bytesOf(span, 4).toString('hex'),
  name: bytesOf(span, 5).toString(),
  kind: Number(numberOf(span, 6)),
  startNs: numberOf(span, 7),
  endNs: numberOf(span, 8),
  attributes: attributesOf(span, 9),
  status: Number(numberOf(decode(bytesOf(span, 15)), 3)),
});
