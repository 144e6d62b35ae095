import type { Logger } from '../lib/log/logger.js';
import type { Tracing } from './trace.js';

type Environment = Record<string, string | undefined>;

/**
 * Tracing by the standard variables of OpenTelemetry. Unless they name where traces go, its packages are not even
 * loaded, and nothing is sent.
 */
export async function openTracing(env: Environment, logger: Logger): Promise<Tracing | undefined> {
  if (!sendsTraces(env)) return undefined;
  const { OpenTelemetry } = await import('./open-telemetry.js');
  return new OpenTelemetry(logger);
}

function sendsTraces(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return false;
  if (env.OTEL_TRACES_EXPORTER) return env.OTEL_TRACES_EXPORTER.split(',').includes('otlp');
  return Boolean(env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
}
