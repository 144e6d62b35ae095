/** Fastify with an empty handler: reads a body, answers with a constant vector. */
import Fastify from 'fastify';

const reply = {
  embedding: Array.from({ length: 256 }, (_, i) => Math.round(Math.sin(i + 1) * 1e9) / 16e9),
  dim: 256,
  modal_type: 'text',
  tokens: 8,
  truncated: false,
};

const app = Fastify({ bodyLimit: 64e6 });
app.addContentTypeParser(/^(?:image|video)\//, async (_request, payload) => {
  let bytes = 0;
  for await (const chunk of payload) bytes += chunk.length;
  return bytes;
});
for (const kind of ['text', 'image', 'video']) app.post(`/embed/${kind}`, async () => reply);
app.get('/', async () => process.cpuUsage());
await app.listen({ port: Number(process.argv[2]) });
