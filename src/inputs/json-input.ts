import { Problem } from '../common/errors.js';
import { disposeParts, type InputPart } from './part.js';
import type { MediaUrls, OpenOptions } from './url/media-url.js';

/** One part as JSON says it: exactly one of the three. Pictures and clips are URLs. */
export interface JsonPart {
  text?: string | undefined;
  image?: string | undefined;
  video?: string | undefined;
}

/** What is to be embedded as JSON says it: one part, or several that make one sequence. */
export interface JsonInput extends JsonPart {
  parts?: readonly JsonPart[] | undefined;
}

const NAMES = ['text', 'image', 'video', 'parts'] as const;

/** The names of those parts of an input that were given. */
export const givenNames = (input: JsonInput): string[] => NAMES.filter((name) => input[name] !== undefined);

/** Turns what JSON says into parts that can be embedded. */
export class Inputs {
  constructor(private readonly urls: MediaUrls) {}

  /**
   * The parts of `input`, in order; the caller owns their uploads.
   * @throws Problem `invalid_request` unless exactly one of text, image, video and parts is given
   */
  async open(input: JsonInput, options: OpenOptions): Promise<InputPart[]> {
    const { field } = options;
    const given = givenNames(input);
    if (given.length !== 1) {
      const came = given.length === 0 ? 'none came' : `${given.join(' and ')} came`;
      throw new Problem('invalid_request', `Send one of ${NAMES.join(', ')} in ${field}; ${came}.`, {
        in: 'body',
        field: field.replace(/^body\.?/, ''),
      });
    }
    const parts = input.parts?.map((part, i) => [part, `${field}.parts.${i}`] as const) ?? [[input, field] as const];
    const opened: InputPart[] = [];
    try {
      for (const [part, place] of parts) opened.push(await this.openPart(part, { ...options, field: place }));
      return opened;
    } catch (error) {
      await disposeParts(opened);
      throw error;
    }
  }

  private async openPart({ text, image, video }: JsonPart, options: OpenOptions): Promise<InputPart> {
    if (text !== undefined) return { text };
    const as = image === undefined ? 'video' : 'image';
    const url = (image ?? video) as string;
    return { upload: await this.urls.open(url, { ...options, field: `${options.field}.${as}` }), as };
  }
}
