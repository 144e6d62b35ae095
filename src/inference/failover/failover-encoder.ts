import type { FastifyBaseLogger } from 'fastify';
import { Problem } from '../../common/errors.js';
import type { ModelMetrics } from '../../observability/model-metrics.js';
import type { Degradation, EncodedInput, EncodeOptions, Encoder, Part } from '../encoder.js';
import { isFault, Link } from './failover-target.js';
import type { Place } from './target.js';

export interface FallbackOptions {
  /** Devices of this machine, best first. */
  devices: readonly Place[];
  /** Where the same model runs when it runs on none of them. */
  replica: LastResort | undefined;
  /** The longest pause before a place that failed is tried again. */
  retryMs: number;
  metrics: ModelMetrics;
  logger: FastifyBaseLogger;
}

export interface LastResort extends Place {
  /** Given the model that runs on a device, to know it again elsewhere. */
  learn(encoder: Encoder): Promise<void>;
}

const RETRY_AFTER_SECONDS = 5;

/**
 * One model on the best of several places. What fails on one goes on to the next, so that a lost GPU costs time and
 * no request; when the better one works again it is used again. Every place runs the same weights: a vector is the
 * same, up to its last digits, wherever it came from.
 */
export class FallbackEncoder implements Encoder {
  private readonly links: Link[];
  private readonly replica: Link | undefined;
  private active: Link | undefined;
  private closing = false;

  private constructor(private readonly options: FallbackOptions) {
    const { devices, replica, retryMs, logger } = options;
    const link = (place: Place) => new Link(place, { retryMs, logger, onChange: () => this.settle() });
    this.links = devices.map(link);
    this.replica = replica === undefined ? undefined : link(replica);
    if (this.replica !== undefined) this.links.push(this.replica);
  }

  /**
   * Starts the model on the first place that runs it. Devices before it are left out: the best that works is what
   * was asked for. When none works and the replica does, they stay, and the model is degraded.
   * @throws Error that says of each place why it does not run the model
   */
  static async start(options: FallbackOptions): Promise<FallbackEncoder> {
    const encoder = new FallbackEncoder(options);
    const failures: string[] = [];
    for (const link of [...encoder.links]) {
      try {
        const opened = await link.open();
        await encoder.begin(link, opened);
        return encoder;
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
    await encoder.close();
    throw new Error(failures.join('; '));
  }

  get device(): string | undefined {
    return this.active?.isReady ? this.active.device : undefined;
  }

  get isReady(): boolean {
    return !this.closing && this.active?.isReady === true;
  }

  get degradation(): Degradation | undefined {
    return this.links[0]?.degradation;
  }

  async encode(parts: readonly Part[], options: EncodeOptions): Promise<EncodedInput> {
    let failure: unknown;
    for (const link of this.links) {
      if (!link.isUp || (options.forwarded && link === this.replica)) continue;
      try {
        return await link.encode(parts, options);
      } catch (error) {
        if (this.closing || !isFault(error)) throw error;
        failure ??= error;
      }
    }
    const isPlain = failure instanceof Problem && (failure.code === 'internal' || failure.code === 'unavailable');
    throw isPlain ? failure : nowhere(failure);
  }

  async close(): Promise<void> {
    this.closing = true;
    await Promise.all(this.links.map((link) => link.close()));
  }

  private async begin(first: Link, opened: Encoder): Promise<void> {
    if (first !== this.replica) {
      const useless = this.links.splice(0, this.links.indexOf(first));
      await Promise.all(useless.map((link) => link.close()));
      void this.prepareReplica(opened);
    }
    this.active = first;
    this.options.metrics.watchDevices(() =>
      this.links.map((link) => ({
        device: link.device,
        isUp: link.isUp,
        isUsed: link === this.active && link.isReady,
      })),
    );
  }

  /** Whether the last resort is one should be known before it is needed. It says so itself when it is not. */
  private async prepareReplica(encoder: Encoder): Promise<void> {
    const { replica, logger } = this.options;
    try {
      await replica?.learn(encoder);
      await this.replica?.open();
    } catch (error) {
      logger.warn({ err: error }, 'the replica cannot be the last resort at the moment');
    }
  }

  /** Makes the best place that is up the one in use. */
  private settle(): void {
    if (this.closing || this.active === undefined) return;
    const [from, to] = [this.active, this.links.find((link) => link.isUp)];
    if (to === undefined || to === from) return;
    this.active = to;
    this.options.metrics.countMove(from.device, to.device);
    this.options.logger.warn({ from: from.device, to: to.device, reason: from.degradation?.reason }, 'the model moved');
    // The first request should not have to wait for it; its failure is the place's own to tell.
    to.open().catch(() => {});
    if (from.isUp && from !== this.replica) from.rest(() => from === this.active);
  }
}

const nowhere = (cause: unknown) =>
  new Problem(
    'unavailable',
    'The model runs nowhere at the moment; it is being started again. Try again shortly.',
    { retry_after_seconds: RETRY_AFTER_SECONDS },
    { cause },
  );
