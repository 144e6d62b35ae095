import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Dtype } from '../../config.js';
import type { Device } from '../device.js';
import type { BatchMessage } from '../families/family.js';

export type { Dtype };

/** How the sessions of a model run. */
export interface SessionSettings {
  dtype: Dtype;
  devices: readonly Device[];
  /** CPU threads within the session. */
  threads: number;
}

export interface SessionRequest<Batch = unknown> {
  id: number;
  batch: Batch;
}

export type SessionResponse =
  | { type: 'ready'; device: Device }
  | { type: 'broken'; reason: string }
  | { type: 'done'; id: number; vectors: Float32Array; counts?: Count[]; seconds: number }
  | { type: 'failed'; id: number; reason: string };

/** What the model saw of one input. */
export interface Count {
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

export interface BatchResult {
  /** `[size, dim]` */
  vectors: Float32Array;
  /** One for each input, where the thread is who knows. */
  counts?: Count[];
  /** Time of the forward pass, in seconds. */
  seconds: number;
}

interface Waiting {
  resolve(result: BatchResult): void;
  reject(error: Error): void;
}

/** One worker thread with its session, as seen from the thread that serves HTTP. */
export class SessionThread {
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 0;
  private alive = true;

  private constructor(
    private readonly worker: Worker,
    readonly device: Device,
  ) {
    worker.on('message', (message: SessionResponse) => this.settle(message));
    worker.on('exit', () => this.die());
  }

  /** Starts the thread and loads the model. @throws Error when no device runs it */
  static async start(module: URL, setup: object): Promise<SessionThread> {
    const worker = new Worker(module, { workerData: setup });
    // Without a listener an error of the thread would end the process; its 'exit' follows and is handled.
    worker.on('error', () => {});
    const [message] = (await Promise.race([once(worker, 'message'), onceGone(worker)])) as [SessionResponse];
    if (message.type === 'ready') return new SessionThread(worker, message.device);
    throw new Error(message.type === 'broken' ? message.reason : `Unexpected message "${message.type}".`);
  }

  /** Batches given to the thread and not answered. */
  get inFlight(): number {
    return this.waiting.size;
  }

  get isAlive(): boolean {
    return this.alive;
  }

  /** Runs a batch; its buffers move to the thread. Rejects when the forward pass fails or the thread dies. */
  run({ message, transfer }: BatchMessage): Promise<BatchResult> {
    if (!this.alive) return Promise.reject(new Error('The session thread has ended.'));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, batch: message } satisfies SessionRequest, transfer);
    });
  }

  onExit(listener: () => void): void {
    this.worker.once('exit', listener);
  }

  /** Ends the thread after the batches it was given. */
  async close(): Promise<void> {
    if (!this.alive) return;
    const exit = once(this.worker, 'exit');
    this.worker.postMessage('close');
    await exit;
  }

  private settle(message: SessionResponse): void {
    if (message.type !== 'done' && message.type !== 'failed') return;
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.type === 'done') waiting?.resolve(message);
    else waiting?.reject(new Error(message.reason));
  }

  private die(): void {
    this.alive = false;
    for (const { reject } of this.waiting.values()) reject(new Error('The session thread died.'));
    this.waiting.clear();
  }
}

async function onceGone(worker: Worker): Promise<never> {
  await once(worker, 'exit');
  throw new Error('The session thread ended before it was ready.');
}
