import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, onRequestHookHandler, RouteOptions } from 'fastify';
import { Type } from 'typebox';
import { VERSION } from '../../common/version.js';
import { pageDocument } from './page-document.js';
import { tidyDocument } from './tidy-document.js';

const DESCRIPTION = `Text, images and video in one vector space: embed, store and search.

Every vector has norm 1, so that the inner product is the cosine similarity and a score is always "higher is
closer". Every error is a problem document (RFC 9457) with a stable \`code\` and the request's id.`;

/**
 * What the page at /docs may load: what comes with it. Nothing asks a browser for https (`upgrade-insecure-requests`,
 * the plugin's own policy): a service without a certificate would show a blank page under every name but localhost.
 */
const PAGE_POLICY = [
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:",
  "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
].join('; ');

const Problem = Type.Object(
  {
    type: Type.String(),
    code: Type.String({ description: 'Stable: clients may depend on it.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What is wrong, and what is allowed.' }),
    in: Type.Optional(
      Type.String({ description: 'The part of the request that is wrong: body, querystring, params.' }),
    ),
    field: Type.Optional(Type.String({ description: 'Path of the field that is wrong: parts.0.image.' })),
    request_id: Type.String(),
  },
  { title: 'Problem', additionalProperties: true, description: 'RFC 9457 problem document.' },
);
const problems = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: Problem } },
});

/** Generates the OpenAPI document from the schemas of the routes added later, and serves it with a page at /docs. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  app.addHook('onRoute', addProblems);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'onespace',
        version: VERSION,
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as never,
      },
      tags: [
        { name: 'embed', description: 'Inputs to vectors.' },
        { name: 'search', description: 'The items nearest to an input.' },
        { name: 'items', description: 'Stored items.' },
        { name: 'jobs', description: 'Work that no connection waits for.' },
        { name: 'openai', description: "OpenAI's embeddings API." },
        { name: 'rollout', description: 'Replaces one model by another, for the operator.' },
        { name: 'service', description: 'State and metrics.' },
      ],
      security: [{ apiKey: [] }, {}],
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'One of API_KEYS, where the service has keys.' },
        },
      },
    },
    transformObject: (document) => ({
      ...tidyDocument('openapiObject' in document ? document.openapiObject : {}),
      // Relative to this document, so that it also holds behind a proxy that adds a prefix to the path.
      servers: [{ url: '.' }],
    }),
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: PAGE_POLICY,
    theme: { title: 'onespace' },
    uiHooks: { onRequest: addTrailingSlash },
    transformSpecification: pageDocument,
    transformSpecificationClone: false,
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

/** The page refers to its files relative to its own address, whatever prefix a proxy adds to it. */
const addTrailingSlash: onRequestHookHandler = (request, reply, done) => {
  if (request.url.split('?', 1)[0] === '/docs') reply.redirect('docs/');
  else done();
};

/** Every route has the same error replies. */
function addProblems(route: RouteOptions): void {
  if (route.schema === undefined || route.schema.hide) return;
  route.schema = {
    ...route.schema,
    response: {
      ...(route.schema.response as object),
      '4xx': problems('The request is not valid; the document says why.'),
      '5xx': problems('The service failed, or is at its limit.'),
    },
  };
}
