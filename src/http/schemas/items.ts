import { type Static, Type } from 'typebox';
import type { ItemInfo } from '../../store/vector-store.js';
import { MAX_DELETED_IDS, MAX_ITEMS } from '../request-limits.js';
import { inputContent, jsonContent } from './body-content.js';
import {
  ErrorEntry,
  eachOf,
  Filter,
  Id,
  MetadataObject,
  MODEL,
  ModalityName,
  ModelQuery,
  Numbers,
  Vector,
} from './common.js';
import { RED_SQUARE } from './examples.js';
import { INPUT } from './input.js';
import { JobDocument } from './jobs.js';

export const StoredItem = Type.Object(
  {
    id: Id,
    modal_type: ModalityName,
    metadata: MetadataObject,
    embedding: Type.Optional(Vector),
  },
  { title: 'Item', description: 'A stored item.' },
);

/** An item as replies have it. */
export const toStoredItem = ({ id, modality, metadata }: ItemInfo): Static<typeof StoredItem> => ({
  id,
  modal_type: modality,
  metadata,
});

const LABELS = { id: Type.Optional(Id), metadata: Type.Optional(MetadataObject) };
/** Fields beside the files of one item, or of several. */
export const FileFields = Type.Object(
  {
    ...LABELS,
    items: Type.Optional(
      Type.Array(Type.Object(LABELS, { additionalProperties: false }), {
        minItems: 1,
        maxItems: MAX_ITEMS,
        description: 'With it every file and text is an item of its own: an {"id", "metadata"} for each, in order.',
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
  ...LABELS,
};
/** An input to embed, or a ready vector. */
export const ItemBody = Type.Object({ ...ITEM, ...MODEL }, { additionalProperties: false, title: 'NewItem' });
const OneOfNewItems = Type.Object(ITEM, { additionalProperties: false, title: 'OneOfNewItems' });
export const ItemsBody = eachOf(OneOfNewItems, { maxItems: MAX_ITEMS, title: 'NewItems' });
export const StoredItems = Type.Object(
  { results: Type.Array(Type.Union([StoredItem, ErrorEntry])) },
  {
    title: 'Items',
    description: 'A reply to several items: for each, in order, the item as it is stored, or its own error.',
  },
);

export const putItemsSchema = {
  operationId: 'putItem',
  tags: ['items'],
  summary: 'Embed and store one item or many; an item of the same id is replaced',
  description: `An array of items, or a form with the field items, is stored with one write: faster than item by item. The
reply has status 200 and for each item, in order, the item or its own error. With "Prefer: respond-async" items in JSON are
stored by a job, and the reply, 202, comes as soon as that is on the disk. Ready vectors must come from the model
that searches; they are scaled to norm 1.`,
  querystring: ModelQuery,
  body: {
    content: {
      ...jsonContent(Type.Union([ItemBody, ItemsBody]), [
        { id: 'red-car', text: 'a red car', metadata: { colour: 'red', year: 2024 } },
        { image: RED_SQUARE, metadata: { colour: 'red' } },
        [
          { id: 'a-cat', text: 'a cat' },
          { id: 'a-square', image: RED_SQUARE },
        ],
      ]),
      ...inputContent(FileFields),
    },
  },
  response: { 200: StoredItems, 201: StoredItem, 202: JobDocument },
};

export const ListQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    cursor: Type.Optional(Type.String({ maxLength: 2048 })),
    modal_type: Type.Optional(ModalityName),
    ...MODEL,
  },
  { additionalProperties: false },
);
export const ItemPage = Type.Object(
  {
    items: Type.Array(StoredItem),
    next_cursor: Type.Optional(Type.String({ description: 'Absent on the last page.' })),
  },
  { title: 'ItemPage', description: 'Ordered by id.' },
);

export const listItemsSchema = {
  operationId: 'listItems',
  tags: ['items'],
  summary: 'The stored items, page by page',
  querystring: ListQuery,
  response: { 200: ItemPage },
};

const ItemPath = Type.Object({ id: Id });

export const getItemSchema = {
  operationId: 'getItem',
  tags: ['items'],
  summary: 'One item',
  params: ItemPath,
  querystring: Type.Object(
    { include: Type.Optional(Type.Literal('embedding')), ...MODEL },
    { additionalProperties: false },
  ),
  response: { 200: StoredItem },
};

const DeleteQuery = Type.Object(MODEL, { additionalProperties: false });
/** The items to delete: those that a filter selects, or those of some ids. */
export const DeleteBody = Type.Union(
  [
    Type.Object({ filter: Type.With(Filter, { minProperties: 1 }) }, { additionalProperties: false }),
    Type.Object({ ids: Type.Array(Id, { minItems: 1, maxItems: MAX_DELETED_IDS }) }, { additionalProperties: false }),
  ],
  { title: 'Deletion' },
);
export const DeletedCount = Type.Object(
  { deleted: Type.Integer({ description: 'Items that were deleted.' }) },
  { title: 'Deleted' },
);

export const deleteItemsSchema = {
  operationId: 'deleteItems',
  tags: ['items'],
  summary: 'Delete the items that a filter selects, or those of some ids',
  querystring: DeleteQuery,
  body: {
    content: jsonContent(DeleteBody, [{ filter: { colour: 'red', year: { $lt: 2000 } } }, { ids: ['a', 'b'] }]),
  },
  response: { 200: DeletedCount },
};

export const deleteItemSchema = {
  operationId: 'deleteItem',
  tags: ['items'],
  summary: 'Delete one item',
  params: ItemPath,
  querystring: DeleteQuery,
  response: { 204: Type.Null({ description: 'The item is deleted.' }) },
};
