import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import { clientClosed, Problem } from '../../common/errors.js';
import { isUnitVector } from '../../common/vector.js';
import type { ModelMetrics } from '../../observability/model-metrics.js';
import type { Backend, Prepared } from '../families/family.js';
import { type Count, SessionThread } from '../worker/worker-handle.js';
import { type BatchLimits, Lanes, paddedTokens, type Queued } from './fair-queue.js';

/** Batches given to a thread at once: one that runs, and, where it is full, the next, so that the thread never idles. */
const BATCHES_PER_THREAD = 2;
/** How often a job goes to the model before its failure is the caller's. */
const MAX_ATTEMPTS = 2;
const RESTART_DELAY_MS = 100;
const RESTART_DELAY_MAX_MS = 10_000;
/** Threads lost within the window, for each that there should be, after which starting others is no help. */
const DEATHS_PER_WORKER = 3;
const DEATHS_WINDOW_MS = 60_000;

export interface PoolLimits extends BatchLimits {
  /** Session threads. */
  workers: number;
  /** Inputs that may wait; more are refused with `overloaded`. */
  maxQueue: number;
}

export interface PoolOptions<Input> extends PoolLimits {
  backend: Backend<Input>;
  dim: number;
  /** Told when threads keep dying and the pool has given up; it then only has to be closed. */
  onFailure?: ((error: Error) => void) | undefined;
}

export interface Encoded {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  /** What the model saw of the input, where the thread is who knows. */
  count: Count | undefined;
  queueSeconds: number;
  inferenceSeconds: number;
}

interface Job<Input> extends Queued {
  input: Input;
  enqueuedAt: number;
  attempts: number;
  resolve(encoded: Encoded): void;
  reject(error: Error): void;
}

/**
 * The pool of one model: inputs wait in fair lanes, leave in batches, and run on session threads.
 * A thread that dies is replaced and its batches run once more; when they keep dying the pool gives up.
 */
export class EncoderPool<Input> {
  private readonly lanes = new Lanes<Job<Input>>();
  private threads: SessionThread[] = [];
  private deathsMs: number[] = [];
  private failure: Problem | undefined;
  private closing = false;

  private constructor(
    private readonly options: PoolOptions<Input>,
    private readonly metrics: ModelMetrics,
    private readonly logger: FastifyBaseLogger,
  ) {
    metrics.watchQueue(() => this.lanes.length);
  }

  /** Starts every thread; resolves when all are warm. */
  static async start<Input>(
    options: PoolOptions<Input>,
    metrics: ModelMetrics,
    logger: FastifyBaseLogger,
  ): Promise<EncoderPool<Input>> {
    const pool = new EncoderPool(options, metrics, logger);
    const started = await Promise.allSettled(Array.from({ length: options.workers }, () => pool.addThread()));
    const failed = started.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) return pool;
    await pool.close();
    throw failed.reason;
  }

  /** The device the model runs on, or undefined while every thread is being replaced. */
  get device(): string | undefined {
    return this.threads[0]?.device;
  }

  get isReady(): boolean {
    return !this.closing && this.failure === undefined && this.threads.length > 0;
  }

  /**
   * Encodes one input.
   * @throws Problem `overloaded` when the queue is full, `client_closed` when the signal fires first, `not_ready`
   *   when the pool has given up
   */
  encode({ input, textLength, patchCount }: Prepared<Input>, signal?: AbortSignal): Promise<Encoded> {
    const refusal = this.refusal(signal);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const enqueuedAt = performance.now();
      const job: Job<Input> = { input, textLength, patchCount, enqueuedAt, attempts: 0, resolve, reject };
      this.lanes.add(job);
      signal?.addEventListener('abort', () => this.abandon(job), { once: true });
      this.dispatch();
    });
  }

  /** Ends the pool after what it has accepted. */
  async close(): Promise<void> {
    this.closing = true;
    while (this.lanes.length > 0 && this.threads.length > 0) await sleep(5);
    await Promise.all(this.threads.map((thread) => thread.close()));
  }

  private refusal(signal?: AbortSignal): Problem | undefined {
    if (this.closing) return new Problem('shutting_down', 'The service is shutting down.');
    if (signal?.aborted) return clientClosed();
    if (this.failure !== undefined) return this.failure;
    if (this.lanes.length < this.options.maxQueue) return undefined;
    this.metrics.countFullQueue();
    const detail = `${this.options.maxQueue} inputs are waiting for the model already.`;
    return new Problem('overloaded', detail, { retry_after_seconds: 1 });
  }

  /** A client has gone: its job leaves the queue; one that runs is not repeated. */
  private abandon(job: Job<Input>): void {
    this.lanes.remove(job);
    job.attempts = MAX_ATTEMPTS;
    job.reject(clientClosed());
  }

  /** Gives waiting jobs to threads that have room. */
  private dispatch(): void {
    for (;;) {
      const thread = this.threadWithRoom();
      if (thread === undefined) return;
      // Until a thread is done with the batch it has, its next one may grow: what does not fill one yet waits.
      if (thread.inFlight > 0 && !this.lanes.hasFullBatch(this.options)) return;
      const jobs = this.lanes.take(this.options);
      if (jobs.length === 0) return;
      void this.runBatch(thread, jobs);
    }
  }

  /** An idle thread before one that is busy but may have its next batch already. */
  private threadWithRoom(): SessionThread | undefined {
    const holding = (batches: number) => this.threads.find(({ inFlight }) => inFlight === batches);
    for (let batches = 0; batches < BATCHES_PER_THREAD; batches++) {
      const thread = holding(batches);
      if (thread !== undefined) return thread;
    }
    return undefined;
  }

  private async runBatch(thread: SessionThread, jobs: Job<Input>[]): Promise<void> {
    const { backend, dim } = this.options;
    this.observe(jobs);
    try {
      const { vectors, counts, seconds } = await thread.run(backend.collate(jobs.map(({ input }) => input)));
      jobs.forEach((job, row) => {
        deliver(job, vectors.slice(row * dim, (row + 1) * dim), counts?.[row], seconds);
      });
    } catch (error) {
      this.logger.error({ err: error, batchSize: jobs.length }, 'a batch failed');
      for (const job of jobs) this.retryOrFail(job, error);
    }
    this.dispatch();
  }

  /** Once more, alone: whichever input of the batch was the one that the model cannot take, the others can do without it. */
  private retryOrFail(job: Job<Input>, cause: unknown): void {
    job.attempts++;
    job.alone = true;
    if (this.failure !== undefined) job.reject(this.failure);
    else if (job.attempts < MAX_ATTEMPTS) this.lanes.add(job);
    else job.reject(new Problem('internal', 'The model failed on this input.', {}, { cause }));
  }

  private observe(jobs: readonly Job<Input>[]): void {
    const tokens = jobs.reduce((sum, { textLength, patchCount }) => sum + textLength + patchCount, 0);
    this.metrics.observeBatch(jobs.length, tokens, paddedTokens(jobs) - tokens);
  }

  private async addThread(): Promise<void> {
    const thread = await SessionThread.start(this.options.backend.worker, this.options.backend.setup);
    // The pool may have been closed while the thread started.
    if (this.closing) return thread.close();
    this.threads.push(thread);
    thread.onExit(() => {
      this.threads = this.threads.filter((other) => other !== thread);
      if (!this.closing && this.survives()) void this.replaceThread();
    });
    this.dispatch();
  }

  /** Counts a thread that was lost. @returns false when they have been too many: the pool has given up */
  private survives(cause?: unknown): boolean {
    const nowMs = performance.now();
    this.deathsMs = [...this.deathsMs.filter((diedMs) => nowMs - diedMs < DEATHS_WINDOW_MS), nowMs];
    if (this.deathsMs.length >= DEATHS_PER_WORKER * this.options.workers) this.giveUp(cause);
    return this.failure === undefined;
  }

  private giveUp(cause: unknown): void {
    if (this.failure !== undefined) return;
    this.failure = new Problem('not_ready', 'The session threads of the model keep dying.', {}, { cause });
    this.logger.error({ err: this.failure }, 'session threads keep dying; no more are started');
    for (let jobs = this.lanes.take(this.options); jobs.length > 0; jobs = this.lanes.take(this.options))
      for (const job of jobs) job.reject(this.failure);
    this.options.onFailure?.(this.failure);
  }

  private async replaceThread(): Promise<void> {
    for (
      let delayMs = RESTART_DELAY_MS;
      !this.closing && this.failure === undefined;
      delayMs = Math.min(2 * delayMs, RESTART_DELAY_MAX_MS)
    ) {
      this.metrics.countRestart();
      this.logger.error('a session thread died; starting another');
      try {
        return await this.addThread();
      } catch (error) {
        if (!this.survives(error)) return;
        this.logger.error({ err: error }, `a session thread did not start; next try in ${delayMs} ms`);
        await sleep(delayMs, undefined, { ref: false });
      }
    }
  }
}

/** Gives a caller its vector, having asserted what must hold of every vector that leaves the encoder. */
function deliver(job: Job<unknown>, vector: Float32Array, count: Count | undefined, inferenceSeconds: number): void {
  if (!isUnitVector(vector)) {
    job.reject(new Problem('internal', 'The model gave a vector that is not of norm 1.'));
    return;
  }
  const queueSeconds = Math.max(0, (performance.now() - job.enqueuedAt) / 1000 - inferenceSeconds);
  job.resolve({ vector, count, queueSeconds, inferenceSeconds });
}
