import { type InPlaceOptions, takeInPlace } from '../media/upload.js';
import { exactlyOne } from './exactly-one.js';
import type { FileMark } from './file-mark.js';
import type { MediaRoots } from './media-roots.js';
import type { InputPart } from './part.js';
import { readSidecars } from './sidecar-files.js';
import type { MediaUrls, OpenContext } from './url/media-url.js';

/** One part in JSON: exactly one of the four. Images and videos are URLs; a path names a file below a media root. */
export interface JsonPart {
  text?: string | undefined;
  image?: string | undefined;
  video?: string | undefined;
  path?: string | undefined;
  /** The files beside that file that say more of it, where the service knows them; else it looks for them. */
  sidecars?: readonly FileMark[] | undefined;
}

/** An input in JSON: one part, or several that make one sequence. */
export interface JsonInput extends JsonPart {
  parts?: readonly JsonPart[] | undefined;
}

const PART_NAMES = ['text', 'image', 'video', 'path'] as const;
/** The fields of which an input has exactly one. */
export const INPUT_NAMES = [...PART_NAMES, 'parts'] as const;

/** Turns JSON inputs into parts: decodes their data: URLs, fetches their https: URLs, reads the files they name. */
export class JsonInputs {
  constructor(
    private readonly urls: MediaUrls,
    private readonly roots: MediaRoots,
    /** On files below a media root. */
    private readonly limits: Omit<InPlaceOptions, 'signal'>,
  ) {}

  /**
   * The parts of `input`, in order; the files belong to `context.uploads`.
   * @param path of `input` in the request, for errors
   * @throws Problem `invalid_request` unless exactly one of text, image, video, path and parts is given; and what
   *   opening a URL or a file throws
   */
  async open(input: JsonInput, path: string, context: OpenContext): Promise<InputPart[]> {
    const name = exactlyOne(input, INPUT_NAMES, path);
    if (name !== 'parts') return [await this.openPart(input, name, path, context)];
    const parts: InputPart[] = [];
    for (const [i, part] of (input.parts ?? []).entries()) {
      const partPath = `${path}.parts.${i}`;
      parts.push(await this.openPart(part, exactlyOne(part, PART_NAMES, partPath), partPath, context));
    }
    return parts;
  }

  private async openPart(
    part: JsonPart,
    name: (typeof PART_NAMES)[number],
    path: string,
    context: OpenContext,
  ): Promise<InputPart> {
    const value = part[name] as string;
    if (name === 'text') return { text: value };
    if (name === 'path') {
      const { uploads, signal } = context;
      const file = await this.roots.find(value, `${path}.path`);
      const { bytes, modifiedMs } = file;
      const upload = uploads.add(await takeInPlace(file, { ...this.limits, signal }));
      const readBeside = () => readSidecars(this.roots, value, part.sidecars);
      return { upload, origin: { path: value, bytes, modifiedMs, readBeside } };
    }
    return { upload: await this.urls.open(value, `${path}.${name}`, context), as: name };
  }
}
