import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@huggingface/tokenizers';

/**
 * A token of any vocabulary is shorter than this, so text beyond `max_tokens` times it cannot reach the model. Cutting
 * there bounds the time that a megabyte of text takes, and changes nothing else.
 */
const MAX_CHARACTERS_PER_TOKEN = 64;

/** What is tokenized first has so many for each token that the model takes: enough for most texts. */
const FIRST_CHARACTERS_PER_TOKEN = 4;

/** Text as the ids of a vocabulary, at a cost that the model's limit bounds. */
export class TextTokens {
  private constructor(
    private readonly tokenizer: Tokenizer,
    private readonly maxTokens: number,
  ) {}

  /** @throws Error when the tokenizer cannot be read */
  static async open(path: string, maxTokens: number): Promise<TextTokens> {
    return new TextTokens(new Tokenizer(JSON.parse(await readFile(path, 'utf8')), {}), maxTokens);
  }

  /** The first tokens of a text, at most as many as the model takes. White space does not count. */
  read(text: string): { ids: Int32Array; truncated: boolean } {
    const maxCharacters = this.maxTokens * MAX_CHARACTERS_PER_TOKEN;
    const compact = text
      .trimStart()
      .slice(0, 8 * maxCharacters)
      .replace(/\s+/g, ' ')
      .trim();
    if (compact === '') return { ids: new Int32Array(0), truncated: false };
    const ids = this.firstTokens(compact.slice(0, maxCharacters));
    const truncated = ids.length > this.maxTokens || compact.length > maxCharacters;
    return { ids: Int32Array.from(ids.slice(0, this.maxTokens)), truncated };
  }

  /**
   * All tokens of a text, or, where its beginning has more than the model takes, those of its beginning: tokenizing takes
   * a time that grows with the text, and a character may be eighteen when normalised, so the beginning is as short as
   * will do. Each word is tokenized on its own. In a word without end a token depends on its neighbourhood alone, so the
   * tokens of the first half do not depend on where it is cut.
   */
  private firstTokens(text: string): number[] {
    const encode = (part: string) => this.tokenizer.encode(part, { add_special_tokens: false }).ids;
    for (let room = this.maxTokens * FIRST_CHARACTERS_PER_TOKEN; room < text.length; room *= 2) {
      const endOfWord = text.lastIndexOf(' ', room);
      const [end, enough] = endOfWord > room / 2 ? [endOfWord, this.maxTokens] : [room, 2 * this.maxTokens];
      const first = encode(text.slice(0, end));
      if (first.length > enough) return first;
    }
    return encode(text);
  }
}

/** The ids of several inputs as one rectangle; padding ids are 0. */
export interface PaddedTexts {
  textLength: number;
  /** `[size, textLength]` */
  ids: BigInt64Array;
  /** `[size, textLength]`, 1 where there is a token. */
  textMask: Float32Array;
}

export function padTexts(texts: readonly Int32Array[]): PaddedTexts {
  const textLength = Math.max(...texts.map(({ length }) => length));
  const ids = new BigInt64Array(texts.length * textLength);
  const textMask = new Float32Array(texts.length * textLength);
  // Ids are not negative, so writing their low words suffices, and no BigInt is made of each id.
  const idWords = new Int32Array(ids.buffer);
  texts.forEach((text, row) => {
    text.forEach((id, column) => {
      idWords[2 * (row * textLength + column)] = id;
    });
    textMask.fill(1, row * textLength, row * textLength + text.length);
  });
  return { textLength, ids, textMask };
}
