import type { FastifyBaseLogger } from 'fastify';
import type { ModelMetrics } from '../observability/model-metrics.js';
import { EncoderPool, type PoolLimits } from './batching/encoder-pool.js';
import type { EncodedInput, EncodeOptions, Encoder, Part } from './encoder.js';
import type { Family } from './families/family.js';
import type { SessionSettings } from './worker/worker-handle.js';

export interface LocalOptions extends SessionSettings, PoolLimits {
  metrics: ModelMetrics;
  logger: FastifyBaseLogger;
  /** Told when session threads keep dying and no more are started. */
  onFailure?: (error: Error) => void;
}

/** A model that runs in this process: its family prepares an input, its pool of session threads runs it. */
export class LocalEncoder<Input> implements Encoder {
  private constructor(
    private readonly family: Family<Input>,
    private readonly pool: EncoderPool<Input>,
  ) {}

  /** Resolves when every thread is warm. */
  static async start<Input>(
    family: Family<Input>,
    dim: number,
    { metrics, logger, ...limits }: LocalOptions,
  ): Promise<LocalEncoder<Input>> {
    return new LocalEncoder(family, await EncoderPool.start({ ...limits, backend: family, dim }, metrics, logger));
  }

  get device(): string | undefined {
    return this.pool.device;
  }

  get isReady(): boolean {
    return this.pool.isReady;
  }

  async encode(parts: readonly Part[], { modality, role, signal, record }: EncodeOptions): Promise<EncodedInput> {
    const start = performance.now();
    const prepared = this.family.prepare(parts, role);
    record('serialise', modality, (performance.now() - start) / 1000);
    const { vector, count, queueSeconds, inferenceSeconds } = await this.pool.encode(prepared, signal);
    record('queue', modality, queueSeconds);
    record('inference', modality, inferenceSeconds);
    const { textLength, patchCount, truncated } = prepared;
    return { vector, ...(count ?? { tokens: textLength + patchCount, truncated }) };
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}
