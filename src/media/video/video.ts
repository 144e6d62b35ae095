import type { Readable } from 'node:stream';
import { brokenMedia } from '../errors.js';
import { type Frame, type FrameSampling, fitToShape } from '../frame.js';
import {
  keyframesSuffice,
  lastShownSeconds,
  momentsSeconds,
  planSampling,
  type SamplingPlan,
} from '../frame-sampling.js';
import type { MediaLimits } from '../limits.js';
import type { VideoUpload } from '../upload.js';
import type { Ffmpeg } from './ffmpeg.js';
import { probeVideo, type VideoInfo, type VideoSource } from './probe.js';

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
  const work = async () => {
    const { path, format } = upload;
    // The clock starts when it is this clip's turn.
    const source: VideoSource = { path, format, limits, deadlineMs: performance.now() + limits.timeoutMs, signal };
    const info = await probeVideo(ffmpeg, source);
    const frames = await readMoments(ffmpeg, source, info, options.sampling);
    if (frames.length === 0) throw brokenMedia(`No picture of the video can be decoded (codec ${info.codec}).`);
    return frames;
  };
  return ffmpeg.slots.use(work, { signal });
}

async function readMoments(
  ffmpeg: Ffmpeg,
  source: VideoSource,
  info: VideoInfo,
  sampling: FrameSampling,
): Promise<Frame[]> {
  const plan = planSampling(info.durationSeconds, sampling);
  const size = fitToShape(info.width, info.height, sampling);
  const keyframesOnly = canSkipToKeyframes(info) && keyframesSuffice(plan, info.keyframeSeconds);
  const moments = momentsSeconds(plan);
  const times = keyframesOnly ? lastShownSeconds(moments, info.keyframeSeconds) : moments;
  const { output: pictures } = await ffmpeg.run({
    input: {
      ...source,
      maxPixels: source.limits.maxPixels,
      maxSeconds: source.limits.maxVideoSeconds,
      decoder: decoderOf(info),
      keyframesOnly,
    },
    outputArgs: ['-vf', filters(plan, size, info), '-frames:v', `${plan.count}`, '-f', 'rawvideo'],
    logLevel: 'error',
    deadlineMs: source.deadlineMs,
    signal: source.signal,
    consume: (stdout) => cutPictures(stdout, size.width * size.height * 3, plan.count),
  });
  return holdLast(pictures, Math.min(sampling.minFrames, plan.count)).map((rgb, position) => ({
    ...size,
    timeSeconds: times[position] ?? 0,
    rgb,
  }));
}

/** The decoders of ffmpeg 5 that skip what is not a keyframe when told to; the others decode it all the same. */
const SKIPPING_CODECS = new Set(['h264', 'hevc', 'vp8', 'mpeg4', 'mpeg2video']);

const canSkipToKeyframes = ({ codec, hasAlpha }: VideoInfo) => SKIPPING_CODECS.has(codec) && !hasAlpha;

/**
 * A clip whose last pictures cannot be decoded still gives a model the frames it needs: as in a
 * player, the last picture stays on screen.
 */
function holdLast(pictures: Uint8Array[], minCount: number): Uint8Array[] {
  const last = pictures.at(-1);
  if (last === undefined) return [];
  return [...pictures, ...Array<Uint8Array>(Math.max(0, minCount - pictures.length)).fill(last)];
}

/**
 * The filters from decoded pictures to what is read. `fps` shows at each output the picture
 * that is on screen in the middle of its span, which is the moment `momentsSeconds` tells.
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

/** Cuts the stream of raw RGB into pictures. */
async function cutPictures(stdout: Readable, pictureBytes: number, maxCount: number): Promise<Uint8Array[]> {
  const pictures: Uint8Array[] = [];
  let rgb = new Uint8Array(pictureBytes);
  let filled = 0;
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    for (let read = 0; read < chunk.length && pictures.length < maxCount; ) {
      const part = chunk.subarray(read, read + pictureBytes - filled);
      rgb.set(part, filled);
      read += part.length;
      filled += part.length;
      if (filled < pictureBytes) continue;
      pictures.push(rgb);
      rgb = new Uint8Array(pictureBytes);
      filled = 0;
    }
  }
  return pictures;
}
