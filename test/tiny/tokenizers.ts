/** Tokenizers of the kinds that the real models have, with little more than an alphabet as vocabulary. */

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789.,:;!?|-_\'"()<>/';
const MERGES = ['t h', 'i n', 'e r', 'a n', 'o n', 'th e', 'in g', 'an d'];

const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** Ids of the special tokens of EmbeddingGemma 2, as in its public tokenizer and configuration. */
export const GEMMA_IDS = {
  '<pad>': 0,
  '<eos>': 1,
  '<bos>': 2,
  '<unk>': 3,
  '<|image>': 255999,
  '<|audio>': 256000,
  '<|image|>': 258880,
  '<|audio|>': 258881,
  '<image|>': 258882,
  '<audio|>': 258883,
  '<|video|>': 258884,
} as const;

/** SentencePiece BPE with bytes for what it does not know; spaces are `▁`. */
export function gemmaTokenizer(options: { begin: boolean } = { begin: true }): object {
  const alphabet = [...LETTERS, ...LETTERS.slice(0, 26).toUpperCase(), '▁'];
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const merged = MERGES.map((merge) => merge.replace(' ', ''));
  const vocab = Object.fromEntries([
    ...Object.entries(GEMMA_IDS),
    ...[...bytes, ...alphabet, ...merged].map((token, i) => [token, 10 + i] as const),
  ]);
  const template = (sequence: 'A' | 'B') => [
    ...(options.begin ? [{ SpecialToken: { id: '<bos>', type_id: 0 } }] : []),
    { Sequence: { id: sequence, type_id: 0 } },
    { SpecialToken: { id: '<eos>', type_id: 0 } },
  ];
  const specialToken = (token: '<bos>' | '<eos>') => ({ id: token, ids: [GEMMA_IDS[token]], tokens: [token] });
  return {
    version: '1.0',
    added_tokens: Object.entries(GEMMA_IDS).map(([content, id]) => special(id, content)),
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
    post_processor: {
      type: 'TemplateProcessing',
      single: template('A'),
      pair: [...template('A'), ...template('B')],
      special_tokens: { '<bos>': specialToken('<bos>'), '<eos>': specialToken('<eos>') },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab,
      merges: MERGES.map((merge) => merge.split(' ')),
    },
  };
}

export const CLIP_IDS = { '<|startoftext|>': 49406, '<|endoftext|>': 49407 } as const;

/** The merges that make one token of a word, letter by letter from its beginning. */
function mergesOf(word: string): string[] {
  const letters = [...word].map((letter, i) => (i === word.length - 1 ? `${letter}</w>` : letter));
  return letters.slice(1).map((letter, i) => `${letters.slice(0, i + 1).join('')} ${letter}`);
}

/** BPE over bytes of lower-case words, whose last piece ends with `</w>`; each of `words` is one token. */
export function clipTokenizer(words: readonly string[] = []): object {
  const merges = [...new Set([...words.flatMap(mergesOf), ...MERGES])];
  const pieces = [...LETTERS, ...LETTERS].map((letter, i) => (i < LETTERS.length ? letter : `${letter}</w>`));
  const merged = merges.map((merge) => merge.replace(' ', ''));
  const vocab = { ...Object.fromEntries([...pieces, ...merged].map((piece, i) => [piece, i])), ...CLIP_IDS };
  return {
    version: '1.0',
    added_tokens: Object.entries(CLIP_IDS).map(([content, id]) => special(id, content)),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
      ],
    },
    post_processor: {
      type: 'RobertaProcessing',
      sep: ['<|endoftext|>', CLIP_IDS['<|endoftext|>']],
      cls: ['<|startoftext|>', CLIP_IDS['<|startoftext|>']],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<|endoftext|>',
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab,
      merges,
    },
  };
}
