import { setTimeout as sleep } from 'node:timers/promises';
import { clientClosed, Problem } from '../../common/errors.js';
import { isUnitVector } from '../../common/vector.js';
import { retry } from '../../lib/async/retry.js';
import type { Logger } from '../../lib/log/logger.js';
import type { ModelMetrics } from '../../observability/model-metrics.js';
import type { EncodedInput, EncodeOptions, Encoder, Part } from '../encoder.js';
import type { Family, Prepared } from '../families/family.js';
import type { TokenCount } from '../worker/protocol.js';
import { WorkerHandle } from '../worker/worker-handle.js';
import { type BatchLimits, FairQueue, paddedTokens, type Queued } from './fair-queue.js';

/** Batches posted to a worker at once: the one that runs and, where it is full, the next, so that it never idles. */
const BATCHES_PER_WORKER = 2;
/** How often an input is run before its failure is reported. */
const MAX_ATTEMPTS = 2;
/** Delays between attempts to start a worker again. */
const RESTART = { attempts: Number.POSITIVE_INFINITY, firstMs: 100, maxMs: 10_000 };
/** Exits within the window, for each worker of the pool, after which no more workers are started. */
const EXITS_PER_WORKER = 3;
const EXITS_WINDOW_MS = 60_000;
const CLOSE_POLL_MS = 5;

export interface PoolOptions extends BatchLimits {
  /** Worker threads, each with a session of its own. */
  workers: number;
  /** Inputs that may wait; more are refused with `overloaded`. */
  maxQueue: number;
  metrics: ModelMetrics;
  logger: Logger;
  /** Called when workers keep exiting and the pool has failed; the pool is of no use but has to be closed. */
  onFailure?: (error: Error) => void;
}

interface Job<Input> extends Queued {
  input: Input;
  enqueuedAtMs: number;
  attempts: number;
  resolve(output: JobOutput): void;
  reject(error: Error): void;
}

interface JobOutput {
  vector: Float32Array;
  /** What the model read, where only the worker tokenises. */
  count: TokenCount | undefined;
  queueSeconds: number;
  inferenceSeconds: number;
}

/**
 * A model that runs in this process. Its family prepares an input, which waits in the fair queue, leaves in a batch and
 * runs on a worker thread. A worker that exits is replaced and its batches are repeated; when workers keep exiting the
 * pool fails.
 */
export class EncoderPool<Input> implements Encoder {
  private readonly queue = new FairQueue<Job<Input>>();
  private readonly closed = new AbortController();
  private workers: WorkerHandle[] = [];
  private exitsMs: number[] = [];
  private failure: Problem | undefined;

  private constructor(
    private readonly family: Family<Input>,
    private readonly dim: number,
    private readonly options: PoolOptions,
  ) {
    options.metrics.watchQueue(() => this.queue.length);
  }

  /**
   * Starts every worker and resolves when all have loaded the model.
   * @param dim numbers of a vector
   * @throws Error when no device runs the model
   */
  static async start<Input>(family: Family<Input>, dim: number, options: PoolOptions): Promise<EncoderPool<Input>> {
    const pool = new EncoderPool(family, dim, options);
    const starts = await Promise.allSettled(Array.from({ length: options.workers }, () => pool.addWorker()));
    const failed = starts.find((start) => start.status === 'rejected');
    if (failed === undefined) return pool;
    await pool.close();
    throw failed.reason;
  }

  /** The device that the model runs on; undefined while every worker is being replaced. */
  get device(): string | undefined {
    return this.workers[0]?.device;
  }

  get isReady(): boolean {
    return !this.closing && this.failure === undefined && this.workers.length > 0;
  }

  /**
   * One input -> one unit vector `[dim]`.
   * @throws Problem `invalid_request` and `too_large` of the family, `overloaded` when the queue is full,
   *   `client_closed` when the signal fires first, `not_ready` when the pool has failed, `shutting_down`
   */
  async encode(parts: readonly Part[], options: EncodeOptions): Promise<EncodedInput> {
    const { modality, role, signal, record, patienceMs } = options;
    const start = performance.now();
    const prepared = this.family.prepare(parts, role);
    record('serialise', modality, (performance.now() - start) / 1000);
    const { vector, count, queueSeconds, inferenceSeconds } = await this.enqueue(prepared, signal, patienceMs);
    record('queue', modality, queueSeconds, inferenceSeconds);
    record('inference', modality, inferenceSeconds);
    const { textLength, patchCount, truncated } = prepared;
    return { vector, ...(count ?? { tokens: textLength + patchCount, truncated }) };
  }

  /** Ends the pool after the inputs it has accepted. */
  async close(): Promise<void> {
    this.closed.abort();
    clearTimeout(this.patience);
    this.dispatch();
    while (this.queue.length > 0 && this.workers.length > 0) await sleep(CLOSE_POLL_MS);
    await Promise.all(this.workers.map((worker) => worker.close()));
    // A worker that exited before it was closed leaves jobs that no other worker will run.
    this.rejectQueued(shuttingDown());
  }

  private get closing(): boolean {
    return this.closed.signal.aborted;
  }

  private enqueue(
    { input, textLength, patchCount }: Prepared<Input>,
    signal: AbortSignal,
    patienceMs: number | undefined,
  ): Promise<JobOutput> {
    const refusal = this.refusal(signal);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const enqueuedAtMs = performance.now();
      const waitsUntilMs = patienceMs === undefined ? undefined : enqueuedAtMs + patienceMs;
      const job: Job<Input> = {
        input,
        textLength,
        patchCount,
        enqueuedAtMs,
        waitsUntilMs,
        attempts: 0,
        resolve,
        reject,
      };
      this.queue.add(job);
      signal.addEventListener('abort', () => this.cancel(job), { once: true });
      this.dispatch();
    });
  }

  private refusal(signal: AbortSignal): Problem | undefined {
    if (this.closing) return shuttingDown();
    if (signal.aborted) return clientClosed();
    if (this.failure !== undefined) return this.failure;
    if (this.queue.length < this.options.maxQueue) return undefined;
    this.options.metrics.countFullQueue();
    const detail = `The queue of the model is full: ${this.options.maxQueue} inputs wait. Try again later.`;
    return new Problem('overloaded', detail, { retry_after_seconds: 1 });
  }

  /** The client has disconnected: a waiting job leaves the queue, a running one is not repeated. */
  private cancel(job: Job<Input>): void {
    this.queue.remove(job);
    job.attempts = MAX_ATTEMPTS;
    job.reject(clientClosed());
  }

  /** Posts waiting jobs to workers with room. */
  private dispatch(): void {
    for (;;) {
      const worker = this.workerWithRoom();
      if (worker === undefined) return;
      // A busy worker gets its next batch early only when that is full: until then the batch may still grow.
      if (worker.inFlight > 0 && !this.queue.hasFullBatch(this.options)) return;
      const jobs = this.queue.take(this.options, this.closing ? undefined : performance.now());
      if (jobs.length === 0) {
        this.dispatchLater();
        return;
      }
      void this.runBatch(worker, jobs);
    }
  }

  /** Comes back when the first of those that wait for others has waited long enough. */
  private dispatchLater(): void {
    clearTimeout(this.patience);
    const ends = this.queue.patienceEndsMs;
    if (ends !== undefined) this.patience = setTimeout(() => this.dispatch(), Math.max(1, ends - performance.now()));
  }
  private patience: NodeJS.Timeout | undefined;

  /** The worker with the fewest batches, unless every worker has as many as it may. */
  private workerWithRoom(): WorkerHandle | undefined {
    for (let batches = 0; batches < BATCHES_PER_WORKER; batches++) {
      const worker = this.workers.find(({ inFlight }) => inFlight === batches);
      if (worker !== undefined) return worker;
    }
    return undefined;
  }

  private async runBatch(worker: WorkerHandle, jobs: Job<Input>[]): Promise<void> {
    this.observe(jobs);
    try {
      const { vectors, counts, seconds } = await worker.run(this.family.collate(jobs.map(({ input }) => input)));
      jobs.forEach((job, row) => {
        complete(job, vectors.slice(row * this.dim, (row + 1) * this.dim), counts?.[row], seconds);
      });
    } catch (error) {
      this.options.logger.error({ err: error, batchSize: jobs.length }, 'a batch failed');
      for (const job of jobs) this.retryOrFail(job, error);
    }
    this.dispatch();
  }

  /** Repeats a job in a batch of its own, so that one input that the model fails on does not fail the others. */
  private retryOrFail(job: Job<Input>, cause: unknown): void {
    job.attempts++;
    job.alone = true;
    if (this.failure !== undefined) job.reject(this.failure);
    else if (job.attempts < MAX_ATTEMPTS) this.queue.add(job);
    else job.reject(new Problem('internal', 'The model failed on this input.', {}, { cause }));
  }

  private observe(jobs: readonly Job<Input>[]): void {
    const { batchSize, realTokens, paddingTokens } = this.options.metrics;
    const tokens = jobs.reduce((sum, { textLength, patchCount }) => sum + textLength + patchCount, 0);
    batchSize.observe(jobs.length);
    realTokens.inc(tokens);
    paddingTokens.inc(paddedTokens(jobs) - tokens);
  }

  private async addWorker(): Promise<void> {
    const worker = await WorkerHandle.start(this.family.worker, this.family.setup);
    // The pool may have been closed while the worker started.
    if (this.closing) return worker.close();
    this.workers.push(worker);
    worker.onExit(() => {
      this.workers = this.workers.filter((other) => other !== worker);
      if (!this.closing && this.mayRestart()) void this.replaceWorker();
    });
    this.dispatch();
  }

  private async replaceWorker(): Promise<void> {
    const { metrics, logger } = this.options;
    const restart = async () => {
      if (this.closing || this.failure !== undefined) return;
      metrics.countRestart();
      logger.error({ workers: this.workers.length }, 'a worker thread exited; starting another');
      await this.addWorker();
    };
    const onRetry = (error: unknown, delayMs: number) =>
      logger.error({ err: error, delayMs }, 'a worker thread did not start; trying again after the delay');
    const shouldRetry = (error: unknown) => this.mayRestart(error);
    // A pool that fails has reported it; a pool that closes needs no worker.
    await retry(restart, { ...RESTART, shouldRetry, onRetry, signal: this.closed.signal }).catch(() => {});
  }

  /** Counts a worker that exited or did not start. @returns false when there were too many: the pool has failed */
  private mayRestart(cause?: unknown): boolean {
    const nowMs = performance.now();
    this.exitsMs = [...this.exitsMs.filter((exitMs) => nowMs - exitMs < EXITS_WINDOW_MS), nowMs];
    if (this.exitsMs.length >= EXITS_PER_WORKER * this.options.workers) this.fail(cause);
    return this.failure === undefined;
  }

  private fail(cause: unknown): void {
    if (this.failure !== undefined) return;
    this.failure = new Problem('not_ready', 'The worker threads of the model keep exiting.', {}, { cause });
    this.options.logger.error({ err: this.failure }, 'worker threads keep exiting; no more are started');
    this.rejectQueued(this.failure);
    this.options.onFailure?.(this.failure);
  }

  private rejectQueued(problem: Problem): void {
    for (let jobs = this.queue.take(this.options); jobs.length > 0; jobs = this.queue.take(this.options))
      for (const job of jobs) job.reject(problem);
  }
}

const shuttingDown = () => new Problem('shutting_down', 'The service is shutting down.');

/** Resolves a job, having asserted what holds for every vector that leaves an encoder: it has norm 1. */
function complete(
  job: Job<unknown>,
  vector: Float32Array,
  count: TokenCount | undefined,
  inferenceSeconds: number,
): void {
  if (!isUnitVector(vector)) {
    job.reject(new Problem('internal', 'The model returned a vector whose norm is not 1.'));
    return;
  }
  const queueSeconds = Math.max(0, (performance.now() - job.enqueuedAtMs) / 1000 - inferenceSeconds);
  job.resolve({ vector, count, queueSeconds, inferenceSeconds });
}
