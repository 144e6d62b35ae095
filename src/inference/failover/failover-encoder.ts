import { Problem } from '../../common/errors.js';
import type { Logger } from '../../lib/log/logger.js';
import type { ModelMetrics } from '../../observability/model-metrics.js';
import type { Degradation, EncodedInput, EncodeOptions, Encoder, Part } from '../encoder.js';
import { FailoverTarget, isTargetFault } from './failover-target.js';
import type { Target } from './target.js';

export interface FailoverOptions {
  /** Devices of this machine, best first. */
  devices: readonly Target[];
  /** Another service with the same model, used while no device runs it. */
  upstream: UpstreamTarget | undefined;
  /** Upper bound of the delay before a target that failed is tried again. */
  retryMs: number;
  metrics: ModelMetrics;
  logger: Logger;
}

export interface UpstreamTarget extends Target {
  /** Stores vectors of the model that runs here; the upstream has to return the same ones. */
  recordReference(encoder: Encoder): Promise<void>;
}

const RETRY_AFTER_SECONDS = 5;

/**
 * One model on the best of several targets. An input that fails on one target is encoded on the next, so a lost GPU
 * costs time and no request; when the better target works again it is used again. Every target runs the same weights:
 * vectors are equal, up to their last digits, whichever target they come from.
 */
export class FailoverEncoder implements Encoder {
  private readonly targets: FailoverTarget[];
  private readonly upstream: FailoverTarget | undefined;
  private active: FailoverTarget | undefined;
  private closing = false;

  private constructor(private readonly options: FailoverOptions) {
    const { devices, upstream, retryMs, logger } = options;
    const toFailover = (target: Target) =>
      new FailoverTarget(target, { retryMs, logger, onChange: () => this.selectTarget() });
    this.targets = devices.map(toFailover);
    this.upstream = upstream === undefined ? undefined : toFailover(upstream);
    if (this.upstream !== undefined) this.targets.push(this.upstream);
  }

  /**
   * Starts the model on the first target that runs it. Devices before that one are dropped: they cannot run it on this
   * machine. When only the upstream runs the model the devices are kept, and the model is degraded.
   * @throws Error with the reason of each target when none runs the model
   */
  static async start(options: FailoverOptions): Promise<FailoverEncoder> {
    const encoder = new FailoverEncoder(options);
    const failures: string[] = [];
    for (const target of [...encoder.targets]) {
      try {
        const opened = await target.open();
        await encoder.begin(target, opened);
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
    return this.targets[0]?.degradation;
  }

  async encode(parts: readonly Part[], options: EncodeOptions): Promise<EncodedInput> {
    let failure: unknown;
    for (const target of this.targets) {
      if (target.degradation !== undefined || (options.forwarded && target === this.upstream)) continue;
      let encoder = target.encoder;
      try {
        encoder ??= await target.open();
        const encoded = await encoder.encode(parts, options);
        if (target.breaker.failures > 0 && encoder === target.encoder) target.breaker.succeeded();
        return encoded;
      } catch (error) {
        target.reportFailure(error, encoder);
        if (this.closing || !isTargetFault(error)) throw error;
        this.options.metrics.countDeviceFailure(target.device);
        failure ??= error;
      }
    }
    const isPublic = failure instanceof Problem && (failure.code === 'internal' || failure.code === 'unavailable');
    throw isPublic ? failure : unavailable(failure);
  }

  async close(): Promise<void> {
    this.closing = true;
    await Promise.all(this.targets.map((target) => target.close()));
  }

  private async begin(first: FailoverTarget, opened: Encoder): Promise<void> {
    if (first !== this.upstream) {
      const missing = this.targets.splice(0, this.targets.indexOf(first));
      await Promise.all(missing.map((target) => target.close()));
      void this.prepareUpstream(opened);
    }
    this.active = first;
    this.options.metrics.watchDevices(() =>
      this.targets.map((target) => ({
        device: target.device,
        isUp: target.isUp,
        isUsed: target === this.active && target.isReady,
      })),
    );
  }

  /** Verifies the upstream before it is needed; it reports its own failure as a target that is down. */
  private async prepareUpstream(encoder: Encoder): Promise<void> {
    const { upstream, logger } = this.options;
    try {
      await upstream?.recordReference(encoder);
      await this.upstream?.open();
    } catch (error) {
      logger.warn({ err: error }, 'the upstream cannot take over at the moment');
    }
  }

  /** Makes the best target that is up the active one. */
  private selectTarget(): void {
    if (this.closing || this.active === undefined) return;
    const [from, to] = [this.active, this.targets.find((target) => target.isUp)];
    if (to === undefined || to === from) return;
    this.active = to;
    this.options.metrics.countMove(from.device, to.device);
    this.options.logger.warn({ from: from.device, to: to.device, reason: from.degradation?.reason }, 'the model moved');
    // Loads the model before the first request needs it; the target reports a failure itself.
    to.open().catch(() => {});
    if (from.isUp && from !== this.upstream) from.unloadWhenUnused(() => from === this.active);
  }
}

const unavailable = (cause: unknown) =>
  new Problem(
    'unavailable',
    'The model runs on no device at the moment; it is being started again. Try again shortly.',
    { retry_after_seconds: RETRY_AFTER_SECONDS },
    { cause },
  );
