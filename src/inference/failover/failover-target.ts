import { Problem, type ProblemCode } from '../../common/errors.js';
import { CircuitBreaker } from '../../lib/async/circuit-breaker.js';
import type { Logger } from '../../lib/log/logger.js';
import type { Degradation, Encoder, Part } from '../encoder.js';
import { type Target, TargetError } from './target.js';

/** Failures in a row after which the target is probed. */
const FAILURES_MAX = 3;
const FIRST_RETRY_MS = 1_000;
const PROBE_TIMEOUT_MS = 30_000;
const PROBE: readonly Part[] = [{ text: 'Does the model still run here?' }];

export interface FailoverTargetOptions {
  /** Upper bound of the delay before a target that failed is tried again. */
  retryMs: number;
  logger: Logger;
  /** Called when the target goes down, and when it is up again. */
  onChange(): void;
}

/**
 * One target of the chain, with its circuit breaker. A failure may be the input's fault: after some failures in a row
 * the model gets an input of our own, and only when that fails too the target is down. A target that is down is
 * closed, which frees a GPU, and tried again in the background with growing delays: no request waits for an attempt.
 */
export class FailoverTarget {
  /** The model there, while it is loaded. */
  encoder: Encoder | undefined;
  /** Since when and why the target is down; undefined while it is up. */
  degradation: Degradation | undefined;
  readonly breaker: CircuitBreaker;
  private opening: Promise<Encoder> | undefined;
  private probing = false;
  private closed = false;
  private retryTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly target: Target,
    private readonly options: FailoverTargetOptions,
  ) {
    const openMaxMs = options.retryMs;
    this.breaker = new CircuitBreaker({ failuresMax: FAILURES_MAX, openMs: FIRST_RETRY_MS, openMaxMs });
  }

  get device(): string {
    return this.target.device;
  }

  /** Whether the target accepts inputs. */
  get isUp(): boolean {
    return this.degradation === undefined;
  }

  get isReady(): boolean {
    return this.isUp && this.encoder?.isReady === true;
  }

  /** Starts the model on the target unless it has been started. @throws the target's error; the target is down then */
  open(): Promise<Encoder> {
    this.opening ??= this.start().catch((error: unknown) => {
      this.goDown(error, `the model does not start on ${this.device}`);
      throw error;
    });
    return this.opening;
  }

  /** Counts a failure of `encoder`, unless it is the fault of the input or the target has another encoder by now. */
  reportFailure(error: unknown, encoder: Encoder | undefined): void {
    if (encoder !== undefined && encoder === this.encoder && isTargetFault(error)) this.countFailure(encoder);
  }

  /** Unloads the model after `retryMs` unless `isUsed` then; the next input loads it again. */
  unloadWhenUnused(isUsed: () => boolean): void {
    const timer = setTimeout(() => {
      if (!this.closed && this.isUp && !isUsed()) this.unload();
    }, this.options.retryMs);
    timer.unref();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retryTimer);
    await (await this.opening?.catch(() => undefined))?.close();
  }

  private async start(): Promise<Encoder> {
    let encoder: Encoder | undefined;
    encoder = await this.target.open((error) => {
      if (this.isUp && encoder === this.encoder) this.goDown(error, `worker threads kept exiting on ${this.device}`);
    });
    this.encoder = encoder;
    return encoder;
  }

  private countFailure(encoder: Encoder): void {
    if (this.probing) return;
    this.breaker.failed();
    if (this.breaker.isClosed) return;
    this.probing = true;
    this.probe(encoder)
      .catch((error: unknown) => {
        if (encoder === this.encoder) this.goDown(error, `the model failed on ${this.device}`);
      })
      .finally(() => {
        this.probing = false;
      });
  }

  /** @throws when the model does not embed a text that every model embeds */
  private async probe(encoder: Encoder): Promise<void> {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    try {
      await encoder.encode(PROBE, { modality: 'text', role: 'document', signal, record: () => {} });
    } catch (error) {
      if (isTargetFault(error) || signal.aborted) throw error;
    }
    this.breaker.succeeded();
  }

  private goDown(error: unknown, fallbackReason: string): void {
    if (this.closed) return;
    const reason = error instanceof TargetError ? error.reason : fallbackReason;
    this.options.logger.error({ err: error, device: this.device, reason }, 'the model cannot run on this target');
    this.degradation = { since: new Date(), reason };
    if (this.breaker.isClosed) this.breaker.trip();
    this.unload();
    this.scheduleRetry();
    this.options.onChange();
  }

  /** Closes the encoder after the inputs it has accepted; no caller waits for that. */
  private unload(): void {
    const { encoder } = this;
    this.encoder = undefined;
    this.opening = undefined;
    encoder?.close().catch((error: unknown) => {
      this.options.logger.error({ err: error, device: this.device }, 'an encoder that was replaced did not close');
    });
  }

  private scheduleRetry(): void {
    this.retryTimer = setTimeout(() => void this.tryAgain(), this.breaker.remainingMs + 1).unref();
  }

  /** The half-open state: starts the model beside the requests; the target is up when it embeds the probe. */
  private async tryAgain(): Promise<void> {
    if (this.closed) return;
    // A timer may fire early.
    if (!this.breaker.admits()) return this.scheduleRetry();
    this.opening = this.start();
    try {
      const encoder = await this.opening;
      await this.probe(encoder);
      this.degradation = undefined;
      this.options.logger.info({ device: this.device }, 'the model runs on this target again');
      this.options.onChange();
    } catch (error) {
      this.options.logger.warn({ err: error, device: this.device }, 'the model still cannot run on this target');
      this.breaker.failed();
      this.unload();
      this.scheduleRetry();
    }
  }
}

/** Problems that are the target's fault and not the input's. */
const TARGET_FAULTS: readonly ProblemCode[] = ['internal', 'not_ready', 'unavailable', 'shutting_down'];

/** Whether another target may succeed where this error occurred. */
export const isTargetFault = (error: unknown): boolean =>
  !(error instanceof Problem) || TARGET_FAULTS.includes(error.code);
