import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { clientClosed, type Problem } from '../../../common/errors.js';
import { Semaphore } from '../../../lib/async/semaphore.js';
import { brokenMedia, decodeTimeout, tooManyPixels } from '../../errors.js';
import { IMAGE_FORMATS } from '../../formats.js';
import type { Frame, FrameShape } from '../../frame.js';
import type { MediaLimits } from '../../limits.js';
import type { Answer, ForeignFormat, Task } from './protocol.js';

const MAIN = fileURLToPath(new URL('./decoder-main.js', import.meta.url));
/** An idle process ends after this long, and with it the memory that its decoders have taken. */
const IDLE_MS = 60_000;

/**
 * Decodes images in a process of its own, which is started when it is needed. An image that takes it down, or too long,
 * is refused; the next one gets a new process.
 */
export class ForeignDecoder {
  private child: ChildProcess | undefined;
  private idle: NodeJS.Timeout | undefined;
  private readonly turn = new Semaphore(1);
  private lastId = 0;

  /**
   * @returns one frame of the size that `fitToShape` gives: upright, transparent pixels over white
   * @throws Problem `broken_media`, `too_many_pixels`, `decode_timeout`, `client_closed`
   */
  decode(
    source: { format: ForeignFormat; bytes: Uint8Array },
    shape: FrameShape,
    limits: MediaLimits,
    signal?: AbortSignal,
  ): Promise<Frame> {
    return this.turn.use(() => this.run(source, shape, limits, signal), { signal });
  }

  private async run(
    { format, bytes }: { format: ForeignFormat; bytes: Uint8Array },
    shape: FrameShape,
    { maxPixels, timeoutMs }: MediaLimits,
    signal?: AbortSignal,
  ): Promise<Frame> {
    const child = this.started();
    const { label } = IMAGE_FORMATS[format];
    const id = ++this.lastId;
    try {
      const answer = await new Promise<Answer>((resolve, reject) => {
        const give = (reason: Problem) => {
          reject(reason);
          this.stop();
        };
        const timer = setTimeout(() => give(decodeTimeout()), timeoutMs);
        const onAbort = () => give(clientClosed());
        const onExit = () => reject(brokenMedia(`The ${label} image cannot be decoded; it may be damaged.`));
        const onMessage = (message: Answer) => message.id === id && resolve(message);
        child.on('message', onMessage).once('exit', onExit);
        signal?.addEventListener('abort', onAbort, { once: true });
        this.release = () => {
          clearTimeout(timer);
          child.off('message', onMessage).off('exit', onExit);
          signal?.removeEventListener('abort', onAbort);
        };
        child.send({ id, format, bytes, shape, maxPixels } satisfies Task);
      });
      if ('frame' in answer) return { ...answer.frame, rgb: new Uint8Array(answer.frame.rgb) };
      if ('pixels' in answer) throw tooManyPixels('The image has', answer.pixels, maxPixels);
      if (answer.isFatal) this.stop();
      throw brokenMedia(`The ${label} image cannot be decoded; it may be damaged or cut short.`, answer.error);
    } finally {
      this.release();
      this.idle = setTimeout(() => this.stop(), IDLE_MS).unref();
    }
  }

  private release = (): void => {};

  private started(): ChildProcess {
    clearTimeout(this.idle);
    if (this.child !== undefined) return this.child;
    const child = fork(MAIN, {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      // Only what a program needs to start: no secrets of this service.
      env: { PATH: process.env.PATH, LD_LIBRARY_PATH: process.env.LD_LIBRARY_PATH },
    });
    child.once('exit', () => {
      if (this.child === child) this.child = undefined;
    });
    child.on('error', () => {});
    // It does not keep this process from ending.
    child.unref();
    child.channel?.unref();
    this.child = child;
    return child;
  }

  /** Ends the process; the next image starts another. */
  async close(): Promise<void> {
    const { child } = this;
    if (child === undefined) return;
    const exit = once(child, 'exit');
    this.stop();
    await exit;
  }

  private stop(): void {
    this.child?.kill('SIGKILL');
    this.child = undefined;
  }
}

export const foreignDecoder = new ForeignDecoder();
