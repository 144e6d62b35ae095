import type { Readable } from 'node:stream';
import type { Ffmpeg } from './ffmpeg.js';
import { type Frame, type FrameSampling, fitToPatches } from './frame.js';
import type { MediaLimits } from './limits.js';
import { probeVideo, type VideoInfo, type VideoSource } from './probe.js';
import { brokenMedia } from './problems.js';
import { momentSeconds, planSampling, type SamplingPlan } from './sampling.js';
import type { VideoUpload } from './spool.js';

export interface VideoOptions {
  sampling: FrameSampling;
  limits: MediaLimits;
  ffmpeg: Ffmpeg;
  signal?: AbortSignal | undefined;
}

/**
 * The sampled moments of a clip, in order, as it is shown: turned upright, on white where it is transparent.
 *
 * @throws Problem broken_media, too_many_pixels, video_too_long, decode_timeout, client_closed
 */
export function decodeVideo(upload: Pick<VideoUpload, 'path' | 'format'>, options: VideoOptions): Promise<Frame[]> {
  const { ffmpeg, limits, signal } = options;
  return ffmpeg.slots.use(async () => {
    const { path, format } = upload;
    // The clock starts when it is this clip's turn.
    const source: VideoSource = { path, format, limits, deadlineMs: performance.now() + limits.timeoutMs, signal };
    const info = await probeVideo(ffmpeg, source);
    const frames = await readMoments(ffmpeg, source, info, options.sampling);
    if (frames.length === 0) throw brokenMedia(`No picture of the video can be decoded (codec ${info.codec}).`);
    return frames;
  }, signal);
}

async function readMoments(
  ffmpeg: Ffmpeg,
  source: VideoSource,
  info: VideoInfo,
  sampling: FrameSampling,
): Promise<Frame[]> {
  const plan = planSampling(info.durationSeconds, sampling);
  const size = fitToPatches(info.width, info.height, sampling);
  const { output } = await ffmpeg.run({
    input: {
      ...source,
      maxPixels: source.limits.maxPixels,
      maxSeconds: source.limits.maxVideoSeconds,
      decoder: decoderOf(info),
    },
    outputArgs: [
      ...['-filter_complex_threads', '1', '-vf', filters(plan, size, info)],
      ...['-frames:v', `${plan.count}`, '-f', 'rawvideo'],
    ],
    logLevel: 'error',
    deadlineMs: source.deadlineMs,
    signal: source.signal,
    consume: (stdout) => cutFrames(stdout, size, plan),
  });
  return output;
}

/**
 * The filters from decoded pictures to what is read. `fps` shows at each output the picture
 * that is on screen in the middle of its span, which is the moment `momentSeconds` tells.
 */
function filters(plan: SamplingPlan, { width, height }: Size, { hasAlpha, ...info }: VideoInfo): string {
  // Area averages when making smaller; it would show blocks when making larger.
  const flags = width < info.width ? 'area' : 'bicubic';
  return [
    // A microsecond early, or a picture that comes exactly in the middle of a span would count for the next.
    'settb=AVTB,setpts=PTS-STARTPTS-1',
    `fps=${(1 / plan.spacingSeconds).toFixed(9)}:eof_action=pass`,
    `scale=${width}:${height}:flags=${flags}`,
    ...(hasAlpha ? [ON_WHITE] : []),
    'format=rgb24',
  ].join(',');
}

/** The picture over a white copy of itself. */
const ON_WHITE =
  'format=rgba,split[picture][copy];[copy]lutrgb=r=maxval:g=maxval:b=maxval:a=maxval[white];[white][picture]overlay=format=rgb';

/** ffmpeg's own VP8 and VP9 decoders leave transparency out; the libvpx ones do not. */
function decoderOf({ codec, hasAlpha }: VideoInfo): string | undefined {
  if (!hasAlpha) return undefined;
  return { vp8: 'libvpx', vp9: 'libvpx-vp9' }[codec];
}

interface Size {
  width: number;
  height: number;
}

/** Cuts the stream of raw RGB into frames. */
async function cutFrames(stdout: Readable, size: Size, plan: SamplingPlan): Promise<Frame[]> {
  const frameBytes = size.width * size.height * 3;
  const frames: Frame[] = [];
  let rgb = new Uint8Array(frameBytes);
  let filled = 0;
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    for (let read = 0; read < chunk.length && frames.length < plan.count; ) {
      const part = chunk.subarray(read, read + frameBytes - filled);
      rgb.set(part, filled);
      read += part.length;
      filled += part.length;
      if (filled < frameBytes) continue;
      frames.push({ ...size, timeSeconds: momentSeconds(plan, frames.length), rgb });
      rgb = new Uint8Array(frameBytes);
      filled = 0;
    }
  }
  return frames;
}
