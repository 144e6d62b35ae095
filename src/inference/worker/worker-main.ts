import { parentPort } from 'node:worker_threads';
import type { Device } from '../device.js';
import type { SessionOutput, WorkerRequest, WorkerResponse } from './protocol.js';

/** What a worker thread owns: a model loaded on a device. */
export interface Session<Batch> {
  device: Device;
  run(batch: Batch): Promise<SessionOutput>;
  release(): Promise<unknown>;
}

/**
 * The thread's side of worker-handle.ts: opens a session, then runs the batches it receives one after another until
 * it receives `close`.
 */
export async function runWorker<Batch>(open: () => Promise<Session<Batch>>): Promise<void> {
  try {
    const session = await open();
    let last = Promise.resolve();
    parentPort?.on('message', (request: WorkerRequest<Batch>) => {
      last = last.then(async () => {
        if (request !== 'close') return runBatch(session, request);
        await session.release();
        parentPort?.close();
      });
    });
    send({ type: 'ready', device: session.device });
  } catch (error) {
    send({ type: 'broken', reason: messageOf(error) });
    parentPort?.close();
  }
}

/** What `open` returns for the first device that works. @throws Error with the reason of each device */
export async function onFirstDevice<Opened>(
  devices: readonly Device[],
  open: (device: Device) => Promise<Opened>,
): Promise<Opened> {
  const failures: string[] = [];
  for (const device of devices) {
    try {
      return await open(device);
    } catch (error) {
      failures.push(`${device}: ${messageOf(error)}`);
    }
  }
  throw new Error(`No device runs the model (${failures.join('; ')})`);
}

async function runBatch<Batch>(session: Session<Batch>, { id, batch }: { id: number; batch: Batch }): Promise<void> {
  const start = performance.now();
  try {
    const output = await session.run(batch);
    const seconds = (performance.now() - start) / 1000;
    send({ type: 'done', id, ...output, seconds }, [output.vectors.buffer]);
  } catch (error) {
    send({ type: 'failed', id, reason: messageOf(error) });
  }
}

function send(message: WorkerResponse, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
