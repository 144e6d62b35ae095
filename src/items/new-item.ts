import type { Problem } from '../common/errors.js';
import type { Modality } from '../common/modality.js';
import { exactlyOne } from '../inputs/exactly-one.js';
import { markOf } from '../inputs/file-mark.js';
import { INPUT_NAMES, type JsonInput, type JsonInputs } from '../inputs/json-input.js';
import type { InputPart } from '../inputs/part.js';
import type { OpenContext } from '../inputs/url/media-url.js';
import type { MediaHeader } from '../media/decode.js';
import { MAX_FACTS_BYTES } from '../media/facts/facts.js';
import type { FactsReader } from '../media/facts/facts-reader.js';
import { LIMITS } from '../store/limits.js';
import type { Metadata } from '../store/vector-store.js';

/** What an item is made from, in JSON: an input to embed, or a ready vector with its modality. */
export interface JsonItem extends JsonInput {
  embedding?: readonly number[] | undefined;
  modal_type?: Modality | undefined;
}

/** An item to be stored: with parts that were received, with JSON that is still to be opened, or refused. */
export type NewItem = { id: string } & (
  | { parts: readonly InputPart[]; metadata: Metadata }
  | { json: JsonItem; path: string; metadata?: Metadata | undefined }
  | { problem: Problem }
);

/** An item whose parts can be embedded, or whose vector is ready. */
export type ResolvedItem = { metadata: Metadata } & (
  | { parts: readonly InputPart[] }
  | { embedding: readonly number[]; modality: Modality }
);

const CONTENT_NAMES = [...INPUT_NAMES, 'embedding'] as const;

/** Opens what new items are made from, and reads what it says of itself: once, however many models embed it. */
export class ItemResolver {
  readonly #resolved = new Map<NewItem, Promise<ResolvedItem>>();
  readonly #described = new Map<NewItem, Promise<Metadata>>();

  /**
   * @param inputs opens JSON; not needed where every item has its parts
   * @param facts reads what files say of themselves, for the metadata of items
   */
  constructor(
    private readonly context: OpenContext,
    private readonly inputs?: JsonInputs,
    private readonly facts?: FactsReader,
  ) {}

  /** Whether items get metadata that nobody sent. */
  get describes(): boolean {
    return this.facts !== undefined;
  }

  /** @throws Problem of the item: it was refused, has not exactly one content, or its URL cannot be opened */
  resolve(item: NewItem): Promise<ResolvedItem> {
    const resolved = this.#resolved.get(item) ?? this.#open(item);
    this.#resolved.set(item, resolved);
    return resolved;
  }

  /**
   * The metadata of an item, with what its file says of itself, where it has one; metadata that were sent count before that.
   * @param header of the file, where it was decoded
   * @throws Problem as `resolve`, `client_closed`
   */
  describe(item: NewItem, header?: MediaHeader): Promise<Metadata> {
    const described = this.#described.get(item) ?? this.#describe(item, header);
    this.#described.set(item, described);
    return described;
  }

  async #describe(item: NewItem, header: MediaHeader | undefined): Promise<Metadata> {
    const resolved = await this.resolve(item);
    const { metadata } = resolved;
    if (this.facts === undefined || !('parts' in resolved)) return metadata;
    const [file, ...others] = resolved.parts.flatMap((part) => ('upload' in part ? [part] : []));
    if (file === undefined || others.length > 0) return metadata;
    const { upload, origin } = file;
    const { files: sidecars = [], ...beside } = (await origin?.readBeside()) ?? {};
    const around = { filename: metadata.filename ?? metadata.path, modifiedMs: origin?.modifiedMs, beside, header };
    const facts = await this.facts.read(upload, around, this.context.signal);
    // An item of several parts is not the same as another with the same file.
    const hash = resolved.parts.length === 1 ? { content_hash: upload.sha256 } : {};
    return { ...facts, ...(sidecars.length === 0 ? {} : { sidecars }), ...hash, ...metadata };
  }

  async #open(item: NewItem): Promise<ResolvedItem> {
    if ('problem' in item) throw item.problem;
    if ('parts' in item) return item;
    const { json, path, metadata = {} } = item;
    if (exactlyOne(json, CONTENT_NAMES, path, 'embedding') === 'embedding')
      return { metadata, embedding: json.embedding ?? [], modality: json.modal_type ?? 'text' };
    if (this.inputs === undefined) throw new Error('This resolver opens no JSON.');
    const parts = await this.inputs.open(json, path, this.context);
    return { parts, metadata: describe(parts, metadata) };
  }
}

/**
 * Metadata with the text and the file name of an item, so that a search result says what it is. A text that is too long
 * for the metadata is cut: nobody asked for it there, so it is no reason to refuse the item.
 */
export function describe(parts: readonly InputPart[], metadata: Metadata | undefined, filename?: string): Metadata {
  const named = { ...(filename === undefined ? {} : { filename }), ...originOf(parts) };
  const text = textOf(parts);
  if (text === undefined || (metadata !== undefined && 'text' in metadata)) return { ...named, ...metadata };
  const kept = parts.some((part) => 'upload' in part) ? MAX_FACTS_BYTES : 0;
  const room = LIMITS.metadataBytes - kept - bytesOf({ ...named, text: '', ...metadata });
  return { ...named, text: cutToBytes(text, room), ...metadata };
}

/** Where the file of an item lies, and what tells whether it has changed since. */
function originOf(parts: readonly InputPart[]): Metadata {
  const [found] = parts.flatMap((part) =>
    'upload' in part && part.origin !== undefined ? [{ ...part, ...part.origin }] : [],
  );
  if (found === undefined) return {};
  return { ...markOf(found), content_hash: found.upload.sha256 };
}

const ELLIPSIS = '…';

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** The beginning of a text that has at most `limit` bytes as JSON, with an ellipsis where it was cut. */
function cutToBytes(text: string, limit: number): string {
  let cut = text.slice(0, Math.max(0, limit));
  if (cut.length === text.length && bytesOf(text) - 2 <= limit) return text;
  for (let excess = Number.POSITIVE_INFINITY; excess > 0 && cut.length > 0; ) {
    excess = bytesOf(cut + ELLIPSIS) - 2 - limit;
    // A character has at most six bytes as JSON, so this many at least are too many.
    if (excess > 0) cut = cut.slice(0, cut.length - Math.ceil(excess / 6)).replace(/[\ud800-\udbff]$/, '');
  }
  return cut + ELLIPSIS;
}

/** The texts among the parts, one a line; undefined when there are none. */
function textOf(parts: readonly InputPart[]): string | undefined {
  const texts = parts.flatMap((part) => ('text' in part ? [part.text] : []));
  return texts.length === 0 ? undefined : texts.join('\n');
}
