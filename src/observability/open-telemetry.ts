import {
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { VERSION } from '../common/version.js';
import type { Logger } from '../lib/log/logger.js';
import type { RequestEnd, RequestSpan, RequestStart, StageTiming, TraceHeaders, Tracing } from './trace.js';

/**
 * Spans by OpenTelemetry, sent as OTLP over HTTP. Sampler, batches, limits, endpoint, headers and resource are what the
 * variables OTEL_* say. Spans are made by hand: loaders that patch modules do not see those that are already imported.
 */
export class OpenTelemetry implements Tracing {
  private readonly provider: BasicTracerProvider;
  private readonly tracer;

  constructor(logger: Logger) {
    const warn = (message: string, ...details: unknown[]) => logger.warn({ details }, `tracing: ${message}`);
    const ignore = () => {};
    const log = { error: warn, warn, info: ignore, debug: ignore, verbose: ignore };
    diag.setLogger(log, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
    const service = resourceFromAttributes({ 'service.name': 'onespace', 'service.version': VERSION });
    this.provider = new BasicTracerProvider({
      resource: service.merge(detectResources({ detectors: [envDetector] })),
      spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
    });
    this.tracer = this.provider.getTracer('onespace', VERSION);
  }

  startRequest(start: RequestStart, parent: TraceHeaders | undefined): RequestSpan {
    const context = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContextOf(parent));
    const span = this.tracer.startSpan(
      start.method,
      {
        kind: SpanKind.SERVER,
        startTime: nowMs(),
        attributes: {
          'http.request.method': start.method,
          'url.path': start.path,
          'url.scheme': start.scheme,
          'client.address': start.clientAddress,
          ...(start.userAgent === undefined ? {} : { 'user_agent.original': start.userAgent }),
          'onespace.request_id': start.requestId,
        },
      },
      context,
    );
    const startStage = (name: string, startTime: number, attributes: Record<string, string>) =>
      this.tracer.startSpan(name, { startTime, attributes }, trace.setSpan(context, span));
    return new OpenTelemetrySpan(span, start.method, parent?.tracestate, startStage);
  }

  close(): Promise<void> {
    return this.provider.shutdown();
  }
}

class OpenTelemetrySpan implements RequestSpan {
  readonly headers: TraceHeaders;

  constructor(
    private readonly span: Span,
    private readonly method: string,
    tracestate: string | undefined,
    private readonly startStage: (name: string, startTime: number, attributes: Record<string, string>) => Span,
  ) {
    const { traceId, spanId, traceFlags } = span.spanContext();
    const traceparent = `00-${traceId}-${spanId}-${hex(traceFlags)}`;
    this.headers = { traceparent, ...(tracestate === undefined ? {} : { tracestate }) };
  }

  addStage({ stage, modality, model, seconds, endedAgo }: StageTiming): void {
    if (!this.span.isRecording()) return;
    const endMs = nowMs() - 1000 * endedAgo;
    const attributes = { 'onespace.modality': modality, ...(model === '' ? {} : { 'onespace.model': model }) };
    this.startStage(stage, endMs - 1000 * seconds, attributes).end(endMs);
  }

  /** Of a reply, only a failure of the service is an error of the span. */
  end({ route, status, model }: RequestEnd): void {
    if (route !== undefined) this.span.updateName(`${this.method} ${route}`).setAttribute('http.route', route);
    this.span.setAttribute('http.response.status_code', status);
    if (model !== undefined) this.span.setAttribute('onespace.model', model);
    if (status >= 500) this.span.setAttribute('error.type', String(status)).setStatus({ code: SpanStatusCode.ERROR });
    this.span.end(nowMs());
  }
}

/** Milliseconds since 1970, monotonic and with fractions. */
const nowMs = (): number => performance.timeOrigin + performance.now();

const hex = (flags: number): string => flags.toString(16).padStart(2, '0');

/** @param parent with a valid `traceparent` */
function spanContextOf({ traceparent }: TraceHeaders) {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-');
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
}
