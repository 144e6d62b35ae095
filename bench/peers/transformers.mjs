/**
 * CLIP behind Fastify, as the guides of transformers.js show it: one process, one forward pass per request.
 *
 *   node bench/peers/transformers.mjs FOLDER PORT
 */
import '../../dist/src/lib/no-telemetry.js';
import {
  AutoImageProcessor,
  AutoTokenizer,
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  env,
  RawImage,
} from '@huggingface/transformers';
import Fastify from 'fastify';

const [folder, port] = process.argv.slice(2);
env.allowRemoteModels = false;
const tokenizer = await AutoTokenizer.from_pretrained(folder);
const imageProcessor = await AutoImageProcessor.from_pretrained(folder);
const textModel = await CLIPTextModelWithProjection.from_pretrained(folder, { dtype: 'fp32' });
const visionModel = await CLIPVisionModelWithProjection.from_pretrained(folder, { dtype: 'fp32' });

const app = Fastify({ bodyLimit: 64e6 });
app.addContentTypeParser(/^image\//, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.get('/', async () => 'ready');
app.post('/embed/text', async ({ body }) => {
  const { text_embeds } = await textModel(tokenizer(body.text, { padding: true, truncation: true }));
  return { embedding: text_embeds.normalize().tolist()[0] };
});
app.post('/embed/image', async ({ body }) => {
  const image = await RawImage.fromBlob(new Blob([body]));
  const { image_embeds } = await visionModel(await imageProcessor(image));
  return { embedding: image_embeds.normalize().tolist()[0] };
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
