import type { Readable } from 'node:stream';
import { brokenMedia } from '../errors.js';
import type { Frame, FrameSampling, Size } from '../frame.js';
import {
  keyframeSecondsAt,
  keyframesSuffice,
  planSampling,
  type SamplingPlan,
  timestampsSeconds,
} from '../frame-sampling.js';
import { fitToShape } from '../image/fit.js';
import type { MediaLimits } from '../limits.js';
import type { VideoUpload } from '../upload.js';
import type { Ffmpeg } from './ffmpeg.js';
import { probeBeginning, probeVideo, type VideoInfo, type VideoSource } from './probe.js';

export interface VideoOptions {
  sampling: FrameSampling;
  limits: MediaLimits;
  ffmpeg: Ffmpeg;
  signal?: AbortSignal | undefined;
}

/** The sampled frames of a video. */
export interface DecodedVideo {
  /** Of the size that `fitToShape` gives, ascending in time. */
  frames: Frame[];
  /** What ffmpeg says of the file: its tags and streams. */
  log: string;
}

/**
 * Decodes the sampled frames of a video as a player shows them: rotated, with square pixels, transparent pixels over
 * white.
 *
 * @returns at least one frame
 * @throws Problem `broken_media`, `too_many_pixels`, `video_too_long`, `decode_timeout`, `client_closed`
 */
export function decodeVideo(
  upload: Pick<VideoUpload, 'path' | 'format' | 'size'>,
  options: VideoOptions,
): Promise<DecodedVideo> {
  const { ffmpeg, limits, signal, sampling } = options;
  const work = async () => {
    const { path, format, size } = upload;
    // Waiting for the semaphore does not count towards the time limit.
    const source: VideoSource = { path, format, limits, deadlineMs: performance.now() + limits.timeoutMs, signal };
    const sought = size > LARGE_BYTES ? await seekSampledFrames(ffmpeg, source, sampling) : undefined;
    if (sought !== undefined && sought.frames.length > 0) return sought;
    const info = await probeVideo(ffmpeg, source);
    const frames = await readSampledFrames(ffmpeg, source, info, sampling);
    if (frames.length === 0) throw brokenMedia(`No frame of the video can be decoded (codec ${info.codec}).`);
    return { frames, log: info.log };
  };
  return ffmpeg.semaphore.use(work, { signal });
}

/** A file of at least this size may be long: the places of its samples are sought. */
const LARGE_BYTES = 64e6;
/** Seeking costs a start of ffmpeg and the frames since a keyframe; below this spacing reading everything is faster. */
const SOUGHT_SPACING_SECONDS = 20;

/**
 * The sampled frames of a long video, each sought: of a film of hours little is read. A place where nothing can be
 * decoded is left out.
 *
 * @returns undefined where the video is short, or its header does not tell its duration; perhaps no frame
 */
async function seekSampledFrames(
  ffmpeg: Ffmpeg,
  source: VideoSource,
  sampling: FrameSampling,
): Promise<DecodedVideo | undefined> {
  const info = await probeBeginning(ffmpeg, source);
  if (info === undefined) return undefined;
  const plan = planSampling(info.durationSeconds, sampling);
  if (plan.spacingSeconds < SOUGHT_SPACING_SECONDS) return undefined;
  const size = fitToShape(info.width, info.height, sampling);
  const vf = await pictureFilters(size, info, ffmpeg);
  const frames: Frame[] = [];
  for (const timeSeconds of timestampsSeconds(plan)) {
    const { output } = await ffmpeg.run({
      input: {
        ...source,
        maxPixels: source.limits.maxPixels,
        maxSeconds: plan.spacingSeconds,
        fromSeconds: timeSeconds,
        decoder: decoderOf(info),
      },
      outputArgs: ['-vf', vf, '-frames:v', '1', '-f', 'rawvideo'],
      logLevel: 'error',
      deadlineMs: source.deadlineMs,
      signal: source.signal,
      consume: (stdout) => splitFrames(stdout, size.width * size.height * 3, 1),
    });
    for (const rgb of output) frames.push({ ...size, timeSeconds, rgb });
  }
  return { frames, log: info.log };
}

async function readSampledFrames(
  ffmpeg: Ffmpeg,
  source: VideoSource,
  info: VideoInfo,
  sampling: FrameSampling,
): Promise<Frame[]> {
  const plan = planSampling(info.durationSeconds, sampling);
  const size = fitToShape(info.width, info.height, sampling);
  const keyframesOnly = canSkipToKeyframes(info) && keyframesSuffice(plan, info.keyframeSeconds);
  const timestamps = timestampsSeconds(plan);
  const times = keyframesOnly ? keyframeSecondsAt(timestamps, info.keyframeSeconds) : timestamps;
  const vf = `${sampleFilters(plan)},${await pictureFilters(size, info, ffmpeg)}`;
  const { output: decoded } = await ffmpeg.run({
    input: {
      ...source,
      maxPixels: source.limits.maxPixels,
      maxSeconds: source.limits.maxVideoSeconds,
      decoder: decoderOf(info),
      keyframesOnly,
    },
    outputArgs: ['-vf', vf, '-frames:v', `${plan.count}`, '-f', 'rawvideo'],
    logLevel: 'error',
    deadlineMs: source.deadlineMs,
    signal: source.signal,
    consume: (stdout) => splitFrames(stdout, size.width * size.height * 3, plan.count),
  });
  return repeatLast(decoded, Math.min(sampling.minFrames, plan.count)).map((rgb, position) => ({
    ...size,
    timeSeconds: times[position] ?? 0,
    rgb,
  }));
}

/** The codecs whose decoders in ffmpeg 5 obey `-skip_frame nokey`; the others decode every frame. */
const SKIPPING_CODECS = new Set(['h264', 'hevc', 'vp8', 'mpeg4', 'mpeg2video']);

const canSkipToKeyframes = ({ codec, hasAlpha }: VideoInfo) => SKIPPING_CODECS.has(codec) && !hasAlpha;

/**
 * Fills up to `minCount` frames with the last one, which a player keeps on screen when the end of a video cannot be
 * decoded.
 */
function repeatLast(frames: Uint8Array[], minCount: number): Uint8Array[] {
  const last = frames.at(-1);
  if (last === undefined) return [];
  return [...frames, ...Array<Uint8Array>(Math.max(0, minCount - frames.length)).fill(last)];
}

/**
 * The filters that choose frames. `fps` outputs for each span the frame shown in its middle, which is the timestamp that
 * `timestampsSeconds` gives.
 */
const sampleFilters = ({ spacingSeconds }: SamplingPlan): string =>
  // A microsecond early, so that a frame exactly in the middle of a span counts for that span, not for the next.
  `settb=AVTB,setpts=PTS-STARTPTS-1,fps=${(1 / spacingSeconds).toFixed(9)}:eof_action=pass`;

/** The filters from one decoded frame to RGB of a size. */
async function pictureFilters(
  { width, height }: Size,
  { hasAlpha, hdr, ...info }: VideoInfo,
  ffmpeg: Ffmpeg,
): Promise<string> {
  // `area` averages when shrinking, but shows blocks when enlarging.
  const flags = width < info.width ? 'area' : 'bicubic';
  return [
    `scale=${width}:${height}:flags=${flags}`,
    ...(hdr !== undefined && (await ffmpeg.canMapTones()) ? [MAP_TONES] : []),
    ...(hasAlpha ? [ON_WHITE] : []),
    'format=rgb24',
  ].join(',');
}

/**
 * High dynamic range as a usual screen shows it: linear light, 203 nits as white (ITU-R BT.2408), the brighter ones
 * compressed, BT.709's primaries and curve.
 */
const MAP_TONES = [
  'zscale=t=linear:npl=203',
  'format=gbrpf32le',
  'zscale=p=bt709',
  'tonemap=mobius:desat=0',
  'zscale=t=bt709:m=bt709:r=tv',
].join(',');

/** The frame over a white copy of itself. */
const ON_WHITE =
  'format=rgba,split[frame][copy];[copy]lutrgb=r=maxval:g=maxval:b=maxval:a=maxval[white];[white][frame]overlay=format=rgb';

/** ffmpeg's own VP8 and VP9 decoders ignore transparency; those of libvpx do not. */
function decoderOf({ codec, hasAlpha }: VideoInfo): string | undefined {
  if (!hasAlpha) return undefined;
  return { vp8: 'libvpx', vp9: 'libvpx-vp9' }[codec];
}

/** Splits the stream of raw RGB into frames of `frameBytes`. */
async function splitFrames(stdout: Readable, frameBytes: number, maxCount: number): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  let rgb = new Uint8Array(frameBytes);
  let filled = 0;
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    for (let read = 0; read < chunk.length && frames.length < maxCount; ) {
      const part = chunk.subarray(read, read + frameBytes - filled);
      rgb.set(part, filled);
      read += part.length;
      filled += part.length;
      if (filled < frameBytes) continue;
      frames.push(rgb);
      rgb = new Uint8Array(frameBytes);
      filled = 0;
    }
  }
  return frames;
}
