import type { JsonInput, JsonPart } from '../../inputs/json-input.js';

/** A part of a message in the form of OpenAI's chat interface, and of the servers that embed such messages. */
export type ContentPart =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: string | { url: string } }
  | { type: 'video_url'; video_url: string | { url: string } };

/** One input: a text, or parts that make one vector. */
export type OpenAiInput = string | readonly ContentPart[];

export interface Message {
  content: OpenAiInput;
}

/**
 * The inputs of a request: of `input`, a string, an array of parts (one input) or an array of inputs;
 * of `messages`, one input with all that is said in them.
 */
export function inputsOf(
  input: OpenAiInput | readonly OpenAiInput[] | undefined,
  messages: readonly Message[] = [],
): JsonInput[] {
  if (input === undefined) return [{ parts: messages.flatMap(({ content }) => toParts(content)) }];
  if (typeof input === 'string') return [{ text: input }];
  if (isParts(input)) return [{ parts: toParts(input) }];
  return input.map((one) => ({ parts: toParts(one) }));
}

const isParts = (input: readonly (ContentPart | OpenAiInput)[]): input is readonly ContentPart[] =>
  input.every((part) => typeof part === 'object' && 'type' in part);

const toParts = (input: OpenAiInput): JsonPart[] => (typeof input === 'string' ? [{ text: input }] : input.map(toPart));

function toPart(part: ContentPart): JsonPart {
  if (part.type === 'text') return { text: part.text };
  if (part.type === 'image_url') return { image: urlOf(part.image_url) };
  return { video: urlOf(part.video_url) };
}

const urlOf = (url: string | { url: string }): string => (typeof url === 'string' ? url : url.url);
