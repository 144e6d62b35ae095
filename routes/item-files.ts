import path from 'node:path';
import send from '@fastify/send';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from '../src/common/errors.js';
import { toDecimal } from '../src/common/vector.js';
import { LongReplies } from '../src/http/long-replies.js';
import { duplicatesSchema, mediaSchema, similarSchema, thumbnailSchema } from '../src/http/schemas/item-files.js';
import { toStoredItem } from '../src/http/schemas/items.js';
import { fileOf } from '../src/items/files/item-file.js';
import type { ThumbnailSize } from '../src/items/files/thumbnails.js';
import { Semaphore } from '../src/lib/async/semaphore.js';
import { mimeOf } from '../src/media/formats.js';
import { findDuplicates } from '../src/search/duplicates.js';
import { existingItem } from '../src/store/existing-item.js';
import type { ItemInfo, VectorStore } from '../src/store/vector-store.js';

/** What lies behind an item: its file, small pictures of it, and what is like it. */
export const itemFileRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const underWay = new LongReplies(app);
  const { models, roots, thumbnails } = app.service;
  // Hundreds of searches: those who clean up do not stand before those who search.
  const duplicates = new Semaphore(1);

  app.get('/items/:id/media', { schema: mediaSchema }, async (request, reply) => {
    const { store } = request.scope.use(models.get(request.query.model));
    const file = await fileOf(await existingItem(store, request.params.id), store, roots);
    return sendFile(request, reply, file.path, mimeOf(file.detected.format));
  });

  app.get('/items/:id/thumbnail', { schema: thumbnailSchema }, async (request, reply) => {
    const { size, model } = request.query;
    const { store } = request.scope.use(models.get(model));
    const item = await existingItem(store, request.params.id);
    const key = keyOf(item);
    if (key === undefined) throw new Problem('not_found', `The item "${item.id}" has no picture.`, { id: item.id });
    const picture = (await thumbnails.find(key, size)) ?? (await make(item, store, key, size));
    return sendFile(request, reply, picture, 'image/webp');
  });

  app.get('/items/:id/similar', { schema: similarSchema }, async (request) => {
    const { id } = request.params;
    const { top_k: topK, min_score: minScore, modal_type: modality, model: name } = request.query;
    const search = { terms: [{ id, weight: 1 }], topK, offset: 0, minScore, modality, withVectors: false };
    const target = { model: request.scope.use(models.get(name)), isNamed: true, key: request.id };
    const { results } = await models.router.search(search, target, request.scope);
    return {
      results: results.map(({ score, ...item }) => ({ ...toStoredItem(item), score: toDecimal(Math.min(1, score)) })),
    };
  });

  app.get('/duplicates', { schema: duplicatesSchema }, async (request) => {
    const { limit, cursor, min_score: minScore, model } = request.query;
    const { store } = request.scope.use(models.get(model));
    const find = () => findDuplicates(store, { limit, cursor, minScore });
    const { groups, nextCursor } = await duplicates.use(find, { signal: request.scope.signal });
    return {
      groups: groups.map(({ kind, keep, items }) => ({ kind, keep, items: items.map(toStoredItem) })),
      ...(nextCursor === undefined ? {} : { next_cursor: nextCursor }),
    };
  });

  /** Makes a thumbnail; of a file that is gone there may be a smaller one. */
  async function make(item: ItemInfo, store: VectorStore, key: string, size: ThumbnailSize): Promise<string> {
    try {
      return await thumbnails.make(key, size, await fileOf(item, store, roots));
    } catch (error) {
      const smaller = size === '1280' ? await thumbnails.find(key, '320') : undefined;
      if (smaller === undefined || !(error instanceof Problem)) throw error;
      return smaller;
    }
  }

  /** A file, or the range of it that was asked for; never as a page that a browser runs. */
  async function sendFile(request: FastifyRequest, reply: FastifyReply, file: string, type: string) {
    const root = path.dirname(file);
    const options = { root, dotfiles: 'allow', index: false, contentType: false, cacheControl: false } as const;
    const { statusCode, headers, stream } = await send(request.raw, encodeURIComponent(path.basename(file)), options);
    if (statusCode === 404) throw new Problem('not_found', 'The file is no longer there.');
    reply.code(statusCode).headers(headers);
    reply.header('content-type', type).header('cache-control', 'private, max-age=3600');
    reply.header('content-security-policy', "default-src 'none'; sandbox; frame-ancestors 'none'");
    underWay.add(reply.raw);
    return reply.send(stream);
  }
};

/** What all files of one content have in common. */
function keyOf({ metadata, original = [] }: ItemInfo): string | undefined {
  const hash = metadata.content_hash ?? original.flatMap((part) => ('file' in part ? [part.file] : []))[0];
  return typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash) ? hash : undefined;
}
