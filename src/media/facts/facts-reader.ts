import { Tinypool } from 'tinypool';
import { Problem } from '../../common/errors.js';
import { Semaphore } from '../../lib/async/semaphore.js';
import type { MediaHeader } from '../decode.js';
import { inspectImage } from '../image/image.js';
import { jpegMetadata } from '../image/jpeg-segments.js';
import { rawMetadata, rawPreview } from '../image/raw/raw-preview.js';
import type { MediaLimits } from '../limits.js';
import type { ImageUpload, Upload, VideoUpload } from '../upload.js';
import type { Ffmpeg } from '../video/ffmpeg.js';
import { type FileFacts, mergeFacts } from './facts.js';
import type { FactsTask } from './facts-worker.js';
import { takeoutFacts } from './sidecar.js';
import { timeOfEpoch, timeOfName } from './times.js';
import { videoFacts } from './video-facts.js';

const WORKER = new URL('./facts-worker.js', import.meta.url).href;
/** An idle worker ends after this long: starting one takes a core for almost half a second. */
const IDLE_MS = 300_000;
/** Metadata of a photo are read within milliseconds; a file that takes longer has none. */
const TIMEOUT_MS = 5_000;

/** What is known of a file beside its content. */
export interface Around {
  /** As the client has it, which may have a date in it. */
  filename?: unknown;
  /** When it was last changed, in milliseconds since 1970. */
  modifiedMs?: number | undefined;
  beside?: { xmp?: Uint8Array; takeout?: string } | undefined;
  /** Of the file, where it was decoded: it is not read again then. */
  header?: MediaHeader | undefined;
}

/** Reads what files say of themselves. What is damaged or takes too long says nothing: no file is refused for it. */
export class FactsReader {
  private readonly pool = new Tinypool({ filename: WORKER, minThreads: 0, maxThreads: 1, idleTimeout: IDLE_MS });
  /** What waits leaves the queue when its client has gone; what runs is never cancelled for it. */
  private readonly queue = new Semaphore(1);

  constructor(private readonly ffmpeg: Ffmpeg) {}

  /**
   * Of two sources that say the same, the one counts that somebody edited later: XMP beside the file, the file itself, the
   * JSON of Google Takeout, its name, and when it was changed.
   * @throws Problem `client_closed`
   */
  async read(upload: Upload, around: Around, signal?: AbortSignal): Promise<FileFacts> {
    const { filename, modifiedMs, beside = {}, header } = around;
    const ofXmp = beside.xmp === undefined ? {} : xmpFacts(await this.ofMetadata(inContainer(beside.xmp), signal));
    const own =
      upload.modality === 'image'
        ? await this.ofImage(upload, header, signal)
        : await this.ofVideo(upload, header, signal);
    const takeout = beside.takeout === undefined ? {} : takeoutFacts(beside.takeout);
    const facts = mergeFacts(ofXmp, own, takeout, ofName(filename), ofTime(modifiedMs));
    const { latitude, longitude, place } = facts;
    if (latitude === undefined || longitude === undefined || place !== undefined) return facts;
    return { ...facts, ...(await this.ask({ latitude, longitude }, signal)) };
  }

  close(): Promise<void> {
    return this.pool.destroy();
  }

  private async ofImage(
    upload: ImageUpload,
    header: MediaHeader | undefined,
    signal: AbortSignal | undefined,
  ): Promise<FileFacts> {
    const facts = [header !== undefined && 'width' in header ? header : await sizeOf(upload)];
    for (const part of metadataOf(upload)) facts.push(await this.ofMetadata(part, signal));
    return mergeFacts(...facts);
  }

  /** What the metadata of an image say. */
  private ofMetadata(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<FileFacts> {
    // A copy: the upload's memory is another file's once this one is disposed of.
    return this.ask({ bytes: new Uint8Array(bytes) }, signal);
  }

  private ask(task: FactsTask, signal: AbortSignal | undefined): Promise<FileFacts> {
    const run = async () => {
      try {
        return (await this.pool.run(task, { signal: AbortSignal.timeout(TIMEOUT_MS) })) as FileFacts;
      } catch {
        return {};
      }
    };
    return this.queue.use(run, { signal });
  }

  private async ofVideo(
    upload: VideoUpload,
    header: MediaHeader | undefined,
    signal: AbortSignal | undefined,
  ): Promise<FileFacts> {
    if (header !== undefined && 'log' in header) return videoFacts(header.log);
    const read = async () => {
      try {
        return videoFacts(await this.ffmpeg.describe(upload, TIMEOUT_MS, signal));
      } catch (error) {
        if (error instanceof Problem && error.code === 'client_closed') throw error;
        return {};
      }
    };
    return this.ffmpeg.semaphore.use(read, { signal });
  }
}

/** The parts of an image file in which its metadata are. */
function metadataOf({ bytes, format }: ImageUpload): Uint8Array[] {
  if (format === 'raw') return rawMetadata(bytes);
  if (format === 'bmp' || format === 'gif') return [];
  const part = format === 'jpeg' ? jpegMetadata(bytes) : bytes;
  return part === undefined ? [] : [part];
}

/** XMP in the container of a WebP image: the library reads it in images only. */
function inContainer(xmp: Uint8Array): Uint8Array {
  const chunk = (name: string, content: Uint8Array) => {
    const head = Buffer.alloc(8);
    head.write(name, 'latin1');
    head.writeUInt32LE(content.length, 4);
    return Buffer.concat([head, content, Buffer.alloc(content.length % 2)]);
  };
  const content = Buffer.concat([Buffer.from('WEBP'), chunk('VP8X', Buffer.alloc(10)), chunk('XMP ', xmp)]);
  return chunk('RIFF', content);
}

const xmpFacts = (facts: FileFacts): FileFacts =>
  facts.taken_at === undefined ? facts : { ...facts, taken_at_from: 'xmp' };

function ofTime(modifiedMs: number | undefined): FileFacts {
  if (modifiedMs === undefined) return {};
  const time = timeOfEpoch(modifiedMs / 1000);
  return time === undefined ? {} : { taken_at: time, taken_at_from: 'modified' };
}

/** Pixels of an image, upright; nothing where its header is damaged. */
async function sizeOf(upload: ImageUpload): Promise<FileFacts> {
  try {
    const source = upload.format === 'raw' ? rawPreview(upload.bytes) : upload;
    const { width, height } = await inspectImage(source, NO_LIMITS);
    return { width, height };
  } catch {
    return {};
  }
}
/** Of what is only looked at. */
const NO_LIMITS: MediaLimits = { maxPixels: Number.MAX_SAFE_INTEGER, maxVideoSeconds: 1e9, timeoutMs: TIMEOUT_MS };

function ofName(filename: unknown): FileFacts {
  const time = typeof filename === 'string' ? timeOfName(filename.split(/[\\/]/).at(-1) ?? '') : undefined;
  return time === undefined ? {} : { taken_at: time, taken_at_from: 'name' };
}
