import { parentPort } from 'node:worker_threads';
import type { Device } from '../device.js';
import type { Count, SessionRequest, SessionResponse } from './worker-handle.js';

/** What a session thread owns: a model on a device. */
export interface HostedSession<Batch> {
  device: Device;
  run(batch: Batch): Promise<Encodings>;
  release(): Promise<unknown>;
}

export interface Encodings {
  /** `[size, dim]`, in memory of its own: it moves to the thread that serves HTTP. */
  vectors: Float32Array<ArrayBuffer>;
  /** What the model saw of each input, where that is known here only. */
  counts?: Count[];
}

/**
 * The side of session-thread.ts that runs in the thread: opens a session, then runs the batches that come, one
 * after another, until it is told to close.
 */
export async function hostSession<Batch>(open: () => Promise<HostedSession<Batch>>): Promise<void> {
  try {
    const session = await open();
    let turn = Promise.resolve();
    parentPort?.on('message', (request: SessionRequest<Batch> | 'close') => {
      turn = turn.then(async () => {
        if (request !== 'close') return answer(session, request);
        await session.release();
        parentPort?.close();
      });
    });
    send({ type: 'ready', device: session.device });
  } catch (error) {
    send({ type: 'broken', reason: reasonOf(error) });
    parentPort?.close();
  }
}

/** What `open` gives on the first device that works. @throws Error that says why each did not */
export async function onFirstDevice<Session>(
  devices: readonly Device[],
  open: (device: Device) => Promise<Session>,
): Promise<Session> {
  const failures: string[] = [];
  for (const device of devices) {
    try {
      return await open(device);
    } catch (error) {
      failures.push(`${device}: ${reasonOf(error)}`);
    }
  }
  throw new Error(`No device runs the model (${failures.join('; ')})`);
}

async function answer<Batch>(session: HostedSession<Batch>, { id, batch }: SessionRequest<Batch>): Promise<void> {
  const start = performance.now();
  try {
    const encodings = await session.run(batch);
    const seconds = (performance.now() - start) / 1000;
    send({ type: 'done', id, ...encodings, seconds }, [encodings.vectors.buffer]);
  } catch (error) {
    send({ type: 'failed', id, reason: reasonOf(error) });
  }
}

function send(message: SessionResponse, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
