import { Type } from 'typebox';
import { THUMBNAIL_SIZES } from '../../items/files/thumbnails.js';
import { Id, MODEL, ModalityName } from './common.js';
import { StoredItem } from './items.js';
import { Results } from './retrieve.js';

const ItemPath = Type.Object({ id: Id });
const tags = ['items'];
/** A reply that is a file. */
const file = (type: string, description: string) => ({
  description,
  content: { [type]: { schema: { type: 'string', format: 'binary' } } },
});

export const mediaSchema = {
  operationId: 'getItemMedia',
  tags,
  summary: 'The file that an item was made from, or ranges of it',
  params: ItemPath,
  querystring: Type.Object(MODEL, { additionalProperties: false }),
  response: { 200: file('*/*', 'The file.'), 206: file('*/*', 'The range that was asked for.') },
};

export const thumbnailSchema = {
  operationId: 'getItemThumbnail',
  tags,
  summary: 'A small picture of an item, as WebP',
  params: ItemPath,
  querystring: Type.Object(
    {
      size: Type.Enum([...THUMBNAIL_SIZES], {
        default: '320',
        description: 'Longest side in pixels; or 16 frames of a video, in rows of four.',
      }),
      ...MODEL,
    },
    { additionalProperties: false },
  ),
  response: { 200: file('image/webp', 'The picture.') },
};

export const similarSchema = {
  operationId: 'listSimilarItems',
  tags,
  summary: 'The items nearest to an item, best first',
  params: ItemPath,
  querystring: Type.Object(
    {
      top_k: Type.Integer({ minimum: 1, maximum: 999, default: 10 }),
      min_score: Type.Optional(Type.Number({ minimum: -1, maximum: 1 })),
      modal_type: Type.Optional(ModalityName),
      ...MODEL,
    },
    { additionalProperties: false },
  ),
  response: { 200: Results },
};

export const DuplicatePage = Type.Object(
  {
    groups: Type.Array(
      Type.Object({
        kind: Type.Enum(['exact', 'near'], {
          description: 'exact: the same content. near: the same picture in another size, format or compression.',
        }),
        keep: Type.String({ description: 'Id of the one with most pixels, and of these most bytes.' }),
        items: Type.Array(StoredItem),
      }),
    ),
    next_cursor: Type.Optional(Type.String({ description: 'Absent on the last page.' })),
  },
  { title: 'Duplicates', description: 'Groups of images and videos that show the same.' },
);

export const duplicatesSchema = {
  operationId: 'listDuplicates',
  tags,
  summary: 'Images and videos that are stored more than once, in groups; nothing is deleted',
  description: 'Each page examines some items, in order of id; a page may have no group and still not be the last.',
  querystring: Type.Object(
    {
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 200, description: 'Items to examine.' }),
      cursor: Type.Optional(Type.String({ maxLength: 2048 })),
      min_score: Type.Number({
        minimum: 0,
        maximum: 1,
        default: 0.9,
        description: 'Lowest score of two near duplicates; their perceptual hashes must agree too.',
      }),
      ...MODEL,
    },
    { additionalProperties: false },
  ),
  response: { 200: DuplicatePage },
};
