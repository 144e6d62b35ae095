import '../../lib/no-telemetry.js';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Device } from '../device.js';
import type { BatchMessage, BatchResult, WorkerRequest, WorkerResponse } from './protocol.js';

interface PendingBatch {
  resolve(result: BatchResult): void;
  reject(error: Error): void;
}

/** One worker thread with its session, as the main thread sees it. */
export class WorkerHandle {
  private readonly pending = new Map<number, PendingBatch>();
  private nextId = 0;
  private hasExited = false;

  private constructor(
    private readonly worker: Worker,
    readonly device: Device,
  ) {
    worker.on('message', (message: WorkerResponse) => this.handle(message));
    worker.on('exit', () => this.failPending());
  }

  /**
   * Starts a thread and resolves when its model is loaded.
   * @param module a module that calls `runWorker`
   * @param setup becomes its `workerData`
   * @throws Error when no device runs the model
   */
  static async start(module: URL, setup: object): Promise<WorkerHandle> {
    const worker = new Worker(module, { workerData: setup });
    // Without a listener an error of the thread would end the process; 'exit' follows it and is handled.
    worker.on('error', () => {});
    const [message] = (await Promise.race([once(worker, 'message'), rejectOnExit(worker)])) as [WorkerResponse];
    if (message.type === 'ready') return new WorkerHandle(worker, message.device);
    throw new Error(message.type === 'broken' ? message.reason : `Unexpected message "${message.type}".`);
  }

  /** Batches posted to the thread whose result is pending. */
  get inFlight(): number {
    return this.pending.size;
  }

  /** Runs a batch; its buffers move to the thread. Rejects when the forward pass fails or the thread exits. */
  run({ batch, transfer }: BatchMessage): Promise<BatchResult> {
    if (this.hasExited) return Promise.reject(new Error('The worker thread has exited.'));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ id, batch } satisfies WorkerRequest, transfer);
    });
  }

  onExit(listener: () => void): void {
    this.worker.once('exit', listener);
  }

  /** Ends the thread after the batches that were posted to it. */
  async close(): Promise<void> {
    if (this.hasExited) return;
    const exit = once(this.worker, 'exit');
    this.worker.postMessage('close' satisfies WorkerRequest);
    await exit;
  }

  private handle(message: WorkerResponse): void {
    if (message.type !== 'done' && message.type !== 'failed') return;
    const batch = this.pending.get(message.id);
    this.pending.delete(message.id);
    if (message.type === 'done') batch?.resolve(message);
    else batch?.reject(new Error(message.reason));
  }

  private failPending(): void {
    this.hasExited = true;
    for (const { reject } of this.pending.values()) reject(new Error('The worker thread exited.'));
    this.pending.clear();
  }
}

async function rejectOnExit(worker: Worker): Promise<never> {
  await once(worker, 'exit');
  throw new Error('The worker thread exited before its model was loaded.');
}
