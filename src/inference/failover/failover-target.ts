import type { FastifyBaseLogger } from 'fastify';
import { Problem, type ProblemCode } from '../../common/errors.js';
import { CircuitBreaker } from '../../lib/circuit-breaker.js';
import type { Degradation, EncodedInput, EncodeOptions, Encoder, Part } from '../encoder.js';
import { type Place, PlaceError } from './target.js';

/** Failures in a row after which it is looked whether they are the place's fault. */
const FAILURES_MAX = 3;
const FIRST_PAUSE_MS = 1_000;
const CHECK_TIMEOUT_MS = 30_000;
const PROBE: readonly Part[] = [{ text: 'Does the model still run here?' }];

export interface LinkOptions {
  /** The longest pause before a place that failed is tried again. */
  retryMs: number;
  logger: FastifyBaseLogger;
  /** Told when the place has failed, and when it works again. */
  onChange(): void;
}

/**
 * One place of a chain, with its circuit breaker. What fails there may be the input's fault: after some failures in a
 * row the model is given an input of our own, and when that fails too the place is down. It is closed then, which
 * frees a GPU, and after a pause it is tried again in the background: no request has to be the one that tries.
 */
export class Link {
  private readonly breaker: CircuitBreaker;
  private opening: Promise<Encoder> | undefined;
  private encoder: Encoder | undefined;
  private fault: Degradation | undefined;
  private checking = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly place: Place,
    private readonly options: LinkOptions,
  ) {
    const openMaxMs = options.retryMs;
    this.breaker = new CircuitBreaker({ failuresMax: FAILURES_MAX, openMs: FIRST_PAUSE_MS, openMaxMs });
  }

  get device(): string {
    return this.place.device;
  }

  /** Whether inputs may go there. */
  get isUp(): boolean {
    return this.fault === undefined;
  }

  get isReady(): boolean {
    return this.isUp && this.encoder?.isReady === true;
  }

  /** Since when and why the place is down. */
  get degradation(): Degradation | undefined {
    return this.fault;
  }

  /** Starts the model there, where it has not been started. @throws what went wrong; the place is down then */
  open(): Promise<Encoder> {
    this.opening ??= this.start().catch((error: unknown) => {
      this.goDown(error, `the model does not start on ${this.device}`);
      throw error;
    });
    return this.opening;
  }

  /** @throws what `Encoder.encode` does, and whatever the place's failure is */
  async encode(parts: readonly Part[], options: EncodeOptions): Promise<EncodedInput> {
    const encoder = await this.open();
    try {
      const encoded = await encoder.encode(parts, options);
      if (encoder === this.encoder) this.breaker.succeeded();
      return encoded;
    } catch (error) {
      if (isFault(error) && encoder === this.encoder) this.suspect(encoder);
      throw error;
    }
  }

  /** Gives back what it holds when it is not `wanted` for a while; it is started again when an input comes. */
  rest(isWanted: () => boolean): void {
    const timer = setTimeout(() => {
      if (!this.closed && this.isUp && !isWanted()) this.release();
    }, this.options.retryMs);
    timer.unref();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await (await this.opening?.catch(() => undefined))?.close();
  }

  private async start(): Promise<Encoder> {
    let encoder: Encoder | undefined;
    encoder = await this.place.open((error) => {
      if (this.isUp && encoder === this.encoder) this.goDown(error, `session threads kept dying on ${this.device}`);
    });
    this.encoder = encoder;
    return encoder;
  }

  private suspect(encoder: Encoder): void {
    if (this.checking) return;
    this.breaker.failed();
    if (this.breaker.isClosed) return;
    this.checking = true;
    this.check(encoder)
      .catch((error: unknown) => {
        if (encoder === this.encoder) this.goDown(error, `the model failed on ${this.device}`);
      })
      .finally(() => {
        this.checking = false;
      });
  }

  /** @throws when the model does not embed even what it certainly can */
  private async check(encoder: Encoder): Promise<void> {
    const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    try {
      await encoder.encode(PROBE, { modality: 'text', role: 'document', signal, record: () => {} });
    } catch (error) {
      if (isFault(error) || signal.aborted) throw error;
    }
    this.breaker.succeeded();
  }

  private goDown(error: unknown, otherwise: string): void {
    if (this.closed) return;
    const reason = error instanceof PlaceError ? error.reason : otherwise;
    this.options.logger.error({ err: error, device: this.device, reason }, 'the model cannot run here');
    this.fault = { since: new Date(), reason };
    if (this.breaker.isClosed) this.breaker.trip();
    this.release();
    this.tryAgainLater();
    this.options.onChange();
  }

  /** Closes what runs there, after what it has accepted; nobody waits for it to end. */
  private release(): void {
    const { encoder } = this;
    this.encoder = undefined;
    this.opening = undefined;
    encoder?.close().catch((err: unknown) => this.options.logger.error({ err, device: this.device }, 'not closed'));
  }

  private tryAgainLater(): void {
    this.timer = setTimeout(() => void this.tryAgain(), this.breaker.remainingMs + 1).unref();
  }

  /** The half-open state: opens the place beside the requests, and believes it when it embeds. */
  private async tryAgain(): Promise<void> {
    if (this.closed) return;
    // A timer may fire a moment early.
    if (!this.breaker.admits()) return this.tryAgainLater();
    this.opening = this.start();
    try {
      const encoder = await this.opening;
      await this.check(encoder);
      this.fault = undefined;
      this.options.logger.info({ device: this.device }, 'the model runs here again');
      this.options.onChange();
    } catch (error) {
      this.options.logger.warn({ err: error, device: this.device }, 'the model still cannot run here');
      this.breaker.failed();
      this.release();
      this.tryAgainLater();
    }
  }
}

/** Problems that tell of the place and not of the input. */
const FAULTS: readonly ProblemCode[] = ['internal', 'not_ready', 'unavailable', 'shutting_down'];

/** Whether another place may do what failed here. */
export const isFault = (error: unknown): boolean => !(error instanceof Problem) || FAULTS.includes(error.code);
