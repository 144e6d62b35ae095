import { exactlyOne } from './exactly-one.js';
import type { InputPart } from './part.js';
import type { MediaUrls, OpenContext } from './url/media-url.js';

/** One part in JSON: exactly one of the three. Images and videos are URLs. */
export interface JsonPart {
  text?: string | undefined;
  image?: string | undefined;
  video?: string | undefined;
}

/** An input in JSON: one part, or several that make one sequence. */
export interface JsonInput extends JsonPart {
  parts?: readonly JsonPart[] | undefined;
}

const PART_NAMES = ['text', 'image', 'video'] as const;
/** The fields of which an input has exactly one. */
export const INPUT_NAMES = [...PART_NAMES, 'parts'] as const;

/** Turns JSON inputs into parts: decodes their data: URLs and fetches their https: URLs. */
export class JsonInputs {
  constructor(private readonly urls: MediaUrls) {}

  /**
   * The parts of `input`, in order; the files belong to `context.uploads`.
   * @param path of `input` in the request, for errors
   * @throws Problem `invalid_request` unless exactly one of text, image, video and parts is given; and what opening
   *   a URL throws
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
    return { upload: await this.urls.open(value, `${path}.${name}`, context), as: name };
  }
}
