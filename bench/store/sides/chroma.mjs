import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import path from 'node:path';
import { post } from '../../load.mjs';
import { startPeer } from '../../peer.mjs';
import { batches, idOf, metadataOf, toJson } from '../rows.mjs';

const type = 'application/json';
const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const BATCH_ROWS = 1000;
const require = createRequire(new URL('../../../test/store/chroma/server/package.json', import.meta.url));

/** The command of the Chroma server that the tests use; undefined where it is not installed. */
export function chromaCommand() {
  try {
    return path.resolve(path.dirname(require.resolve('chromadb')), '../cli.mjs');
  } catch {
    return undefined;
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return String(port);
}

async function start(dir) {
  const port = await freePort();
  const args = ['run', '--path', dir, '--host', '127.0.0.1', '--port', port];
  return startPeer(port, process.execPath, chromaCommand(), ...args);
}

/** A Chroma server with one collection, which it searches approximately by an HNSW graph. */
export function chroma(efSearch) {
  let collection;
  const insert = (batch) => {
    const labels = { ids: batch.map(({ row }) => idOf(row)), metadatas: batch.map(({ row }) => metadataOf(row)) };
    const embeddings = batch.map(({ vector }) => toJson(vector));
    const body = `${JSON.stringify(labels).slice(0, -1)},"embeddings":[${embeddings}]}`;
    return { path: `${collection}/add`, type, body };
  };
  return {
    start,
    insert,

    async startFilled(dir, rows) {
      const server = await start(dir);
      const send = async (request) => {
        const { status, body } = await post(server.url, undefined, request);
        if (status >= 300) throw new Error(`Chroma answered ${status}: ${body.toString().slice(0, 300)}`);
        return JSON.parse(body);
      };
      try {
        const settings = { name: 'bench', configuration: { hnsw: { space: 'ip', ef_search: efSearch } } };
        const { id } = await send({ path: COLLECTIONS, type, body: JSON.stringify(settings) });
        collection = `${COLLECTIONS}/${id}`;
        for (const batch of batches(0, rows, BATCH_ROWS)) await send(insert(batch));
        return server;
      } catch (error) {
        await server.stop('SIGKILL');
        throw error;
      }
    },

    query(vector, k, filter) {
      const rest = JSON.stringify({
        n_results: k,
        include: ['metadatas', 'distances'],
        ...(filter && { where: filter }),
      });
      return { path: `${collection}/query`, type, body: `{"query_embeddings":[${vector}],${rest.slice(1)}` };
    },

    ids: ({ ids: [first] }) => first,
  };
}
