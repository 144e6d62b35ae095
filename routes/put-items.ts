import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Problem } from '../src/common/errors.js';
import { toUnitVector } from '../src/common/vector.js';
import { acceptRawBodies, bringsFiles } from '../src/http/body/multipart.js';
import { embedOptions, jsonBody, openOptions, receiveInputs } from '../src/http/body/read-input.js';
import { answerWith, chosenModel, MODEL, ModelQuery } from '../src/http/model-selection.js';
import { MAX_ITEMS } from '../src/http/request-limits.js';
import { inputContent, jsonContent } from '../src/http/schemas/body-content.js';
import {
  AnyObject,
  Id,
  itemToJson,
  MetadataObject,
  ModalityName,
  Numbers,
  StoredItem,
} from '../src/http/schemas/common.js';
import { RED_SQUARE } from '../src/http/schemas/examples.js';
import { INPUT } from '../src/http/schemas/input.js';
import { givenNames } from '../src/inputs/json-input.js';
import type { InputPart } from '../src/inputs/part.js';
import type { OpenOptions } from '../src/inputs/url/media-url.js';
import type { NewItem } from '../src/items/put-items.js';
import type { ServedModel } from '../src/serving/served-model.js';
import type { Metadata } from '../src/store/vector-store.js';

const Labels = { id: Type.Optional(Id), metadata: Type.Optional(MetadataObject) };
/** What may stand beside files. */
const FileFields = Type.Object(
  {
    ...Labels,
    items: Type.Optional(
      Type.Array(Type.Object(Labels, { additionalProperties: false }), {
        minItems: 1,
        maxItems: MAX_ITEMS,
        description:
          'With it every file and text is an item of its own: an {"id", "metadata"} for each, in their order.',
      }),
    ),
    ...MODEL,
  },
  { additionalProperties: false },
);
const ITEM = {
  ...INPUT,
  embedding: Type.Optional(Numbers),
  modal_type: Type.Optional(ModalityName),
  ...Labels,
};
/** What to embed, or a vector that is ready (made with this very model, say). */
export const ItemBody = Type.Object({ ...ITEM, ...MODEL }, { additionalProperties: false, title: 'NewItem' });
export const ItemsBody = Type.Array(Type.Object(ITEM, { additionalProperties: false, title: 'OneOfNewItems' }), {
  minItems: 1,
  maxItems: MAX_ITEMS,
  title: 'NewItems',
});
export const StoredItems = Type.Object(
  {
    results: Type.Array(
      Type.Union([StoredItem, Type.Object({ error: AnyObject }, { description: 'A problem document.' })]),
    ),
  },
  {
    title: 'Items',
    description: 'Several items, one reply: each as it is stored or its own error, in the order they came.',
  },
);
const EXAMPLES = [
  { id: 'red-car', text: 'a red car', metadata: { colour: 'red', year: 2024 } },
  { image: RED_SQUARE, metadata: { colour: 'red' } },
  [
    { id: 'a-cat', text: 'a cat' },
    { id: 'a-square', image: RED_SQUARE },
  ],
];
const DESCRIPTION = `An array of items, or a form with the field items, is stored with one write: faster than item by item. Their
reply has 200 and for each of them, in order, the item or its own error. Vectors must come from the very model that
searches; they are scaled to norm 1.`;

type Body = Static<typeof ItemBody>;

/** What a request wants to be stored. */
interface Wanted {
  model: ServedModel;
  open: (() => Promise<NewItem>)[];
  /** Whether it came as one item, and is answered as one. */
  isOne: boolean;
}

export const putItemsRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { inputs, config, writes } = app.service;
  acceptRawBodies(app);

  app.post(
    '/items',
    {
      config: { encodes: true, writes: true },
      schema: {
        operationId: 'putItem',
        tags: ['items'],
        summary: 'Embed and store one item or many; an item of the same id is replaced',
        description: DESCRIPTION,
        querystring: ModelQuery,
        body: {
          content: { ...jsonContent(Type.Union([ItemBody, ItemsBody]), EXAMPLES), ...inputContent(FileFields) },
        },
        response: { 200: StoredItems, 201: StoredItem },
      },
    },
    async (request, reply) => {
      const { model, open, isOne } = bringsFiles(request) ? await fromForm(request) : fromJson(request);
      answerWith(model, request, reply);
      const together = 2 * config.MAX_BATCH_SIZE;
      const results = await writes.put(model, open, { together, ...embedOptions(request, model) });
      const [first] = results;
      if (!isOne || first === undefined) {
        return {
          results: results.map((one) =>
            one instanceof Problem ? { error: one.toDocument(request.id) } : itemToJson(one),
          ),
        };
      }
      if (first instanceof Problem) throw first;
      return reply
        .code(201)
        .header('location', `/items/${encodeURIComponent(first.id)}`)
        .send(itemToJson(first));
    },
  );

  /** Files and texts that are one item, or an item each. */
  async function fromForm(request: FastifyRequest): Promise<Wanted> {
    const { inputs: received, fields, model } = await receiveInputs(request, FileFields, countOf);
    const labels = fields.items ?? [fields];
    const open = received.map((input, i) => async () => {
      if ('problem' in input) throw input.problem;
      const { parts, filename } = input;
      const known = { ...(filename === undefined ? {} : { filename }), ...textsOf(parts) };
      return itemOf(labels[i] ?? {}, { parts }, known);
    });
    return { model, open, isOne: fields.items === undefined };
  }

  function fromJson(request: FastifyRequest): Wanted {
    const body = jsonBody<typeof ItemBody | typeof ItemsBody>(request) as Body | Body[];
    const options = openOptions(request);
    if (Array.isArray(body)) {
      const model = chosenModel(request);
      const open = body.map((one, i) => () => openItem(one, model, { ...options, field: `body.${i}` }));
      return { model, open, isOne: false };
    }
    const model = chosenModel(request, body.model);
    return { model, open: [() => openItem(body, model, options)], isOne: true };
  }

  async function openItem(body: Body, { manifest }: ServedModel, options: OpenOptions): Promise<NewItem> {
    const { id, metadata, embedding, modal_type, model: _, ...input } = body;
    if (embedding === undefined) {
      const parts = await inputs.open(input, options);
      return itemOf({ id, metadata }, { parts }, textsOf(parts));
    }
    const others = givenNames(input);
    if (others.length > 0) {
      const detail = `${options.field}.embedding stands alone; ${others.join(' and ')} came beside it.`;
      throw new Problem('invalid_request', detail, {
        in: 'body',
        field: `${options.field}.embedding`.replace(/^body\./, ''),
      });
    }
    const ready = { vector: toUnitVector(embedding, manifest.dim), modality: modal_type ?? 'text' };
    return itemOf({ id, metadata }, ready, {});
  }
};

/** How many items a form says it brings, where it brings more than one. */
function countOf({ items, id, metadata }: Static<typeof FileFields>): number | undefined {
  if (items === undefined || (id === undefined && metadata === undefined)) return items?.length;
  throw new Problem('invalid_request', 'body.items stands alone: id and metadata belong into it.', {
    in: 'body',
    field: 'items',
  });
}

/** A file's name is kept with it, and so is a text, so that a search says what it found. */
const itemOf = <From>(
  { id = randomUUID(), metadata }: { id?: string | undefined; metadata?: Metadata | undefined },
  from: From,
  known: Metadata,
): From & { id: string; metadata: Metadata } => ({ ...from, id, metadata: { ...known, ...metadata } });

/** The words among the parts, as metadata. */
function textsOf(parts: readonly InputPart[]): { text?: string } {
  const texts = parts.flatMap((part) => ('text' in part ? [part.text] : []));
  return texts.length === 0 ? {} : { text: texts.join('\n') };
}
